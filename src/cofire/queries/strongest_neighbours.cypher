// name: strongest_neighbours
// description: The latents that co-fire with one latent, strongest first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param by: log_odds|count|jaccard|phi|npmi|lift|decoder_cosine = "log_odds" - measure that orders the rows
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the neighbour's index
// returns count: integer - tokens on which both fire
// returns clear_count: integer or null - tokens on which both fire clearly; null without noise floors
// returns weak_only: boolean or null - true where the pair passes the edge rule only with all firings
// returns expected: float - joint firings if the two were independent given the document
// returns p: float or null - chance of as many joint firings, at most, if they were
// returns q: float or null - the same, Benjamini-Hochberg over all pairs of live latents
// returns z: float or null - joint firings less expected, in standard deviations
// returns log_odds: float - log odds of the joint firing less those expected (natural log)
// returns log_odds_se: float or null - standard error of the log odds
// returns jaccard: float - count / tokens on which either fires
// returns phi: float or null - correlation of the two firing indicators
// returns npmi: float or null - normalised pointwise mutual information
// returns lift: float - count / joint firings if the two were independent over all tokens
// returns p_neighbour_given_latent: float - P(the neighbour fires | the latent fires)
// returns p_latent_given_neighbour: float - P(the latent fires | the neighbour fires)
// returns magnitude_r: float or null - correlation of the two activations where both fire
// returns decoder_cosine: float or null - cosine of the decoder directions; null without weights
// returns firing_count: integer - tokens on which the neighbour fires
// returns cluster: string or null - uid of the neighbour's cluster
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of the neighbour
// returns top_tokens: list<string> or null - the tokens that the neighbour fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[r:CO_FIRES]-(b)
WITH r, b, b.index AS index,
     CASE $by
       WHEN 'log_odds' THEN r.logOdds
       WHEN 'count' THEN r.count
       WHEN 'jaccard' THEN r.jaccard
       WHEN 'phi' THEN r.phi
       WHEN 'npmi' THEN r.npmi
       WHEN 'lift' THEN r.lift
       WHEN 'decoder_cosine' THEN r.decoderCosine
     END AS measure
ORDER BY measure IS NULL, measure DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
OPTIONAL MATCH (b)-[:IN]->(c:Cluster)
RETURN index, r.count AS count, r.clearCount AS clear_count, r.weakOnly AS weak_only,
       r.expected AS expected, r.p AS p, r.q AS q, r.z AS z, r.logOdds AS log_odds, r.logOddsSe AS log_odds_se,
       r.jaccard AS jaccard, r.phi AS phi, r.npmi AS npmi, r.lift AS lift,
       CASE WHEN $index < index THEN r.pBGivenA ELSE r.pAGivenB END AS p_neighbour_given_latent,
       CASE WHEN $index < index THEN r.pAGivenB ELSE r.pBGivenA END AS p_latent_given_neighbour,
       r.magnitudeR AS magnitude_r, r.decoderCosine AS decoder_cosine,
       b.firingCount AS firing_count, c.uid AS cluster, b.distinctiveTokens AS distinctive_tokens,
       b.topTokens AS top_tokens
ORDER BY measure IS NULL, measure DESC, index
