// name: strongest_edges
// description: The co-firing pairs of one SAE, strongest first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param by: log_odds|count|jaccard|phi|npmi|lift|decoder_cosine = "log_odds" - measure that orders the rows
// param min_count: integer 0.. = 0 - leave out pairs with fewer joint firings
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns a: integer - the lower index
// returns b: integer - the higher index
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
// returns p_b_given_a: float - P(b fires | a fires)
// returns p_a_given_b: float - P(a fires | b fires)
// returns magnitude_r: float or null - correlation of the two activations where both fire
// returns decoder_cosine: float or null - cosine of the decoder directions; null without weights
// returns tokens_a: list<string> or null - the tokens most distinctive of a
// returns tokens_b: list<string> or null - the tokens most distinctive of b

MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(x:Latent)
MATCH (x)-[r:CO_FIRES]->(y) WHERE r.count >= $min_count
// Only columns reach the sorting: whole nodes would need more memory than the embedded store has for it.
WITH x.index AS a, y.index AS b, r.count AS count, r.clearCount AS clear_count, r.weakOnly AS weak_only,
     r.expected AS expected, r.p AS p, r.q AS q, r.z AS z, r.logOdds AS log_odds, r.logOddsSe AS log_odds_se,
     r.jaccard AS jaccard, r.phi AS phi, r.npmi AS npmi, r.lift AS lift,
     r.pBGivenA AS p_b_given_a, r.pAGivenB AS p_a_given_b,
     r.magnitudeR AS magnitude_r, r.decoderCosine AS decoder_cosine,
     x.distinctiveTokens AS tokens_a, y.distinctiveTokens AS tokens_b,
     CASE $by
       WHEN 'log_odds' THEN r.logOdds
       WHEN 'count' THEN r.count
       WHEN 'jaccard' THEN r.jaccard
       WHEN 'phi' THEN r.phi
       WHEN 'npmi' THEN r.npmi
       WHEN 'lift' THEN r.lift
       WHEN 'decoder_cosine' THEN r.decoderCosine
     END AS measure
RETURN a, b, count, clear_count, weak_only, expected, p, q, z, log_odds, log_odds_se, jaccard, phi, npmi, lift,
       p_b_given_a, p_a_given_b, magnitude_r, decoder_cosine, tokens_a, tokens_b
ORDER BY measure IS NULL, measure DESC, a, b
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
