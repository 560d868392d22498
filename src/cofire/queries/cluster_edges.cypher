// name: cluster_edges
// description: The co-firing pairs inside one cluster, strongest first.
// param cluster: string - uid of the cluster (cofire takes its last part, c-..., too, where one SAE alone has it)
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

MATCH (c:Cluster {uid: $cluster})
WITH c
MATCH (s:Sae {uid: c.sae, status: 'ready'})
WITH c
MATCH (c)<-[:IN]-(a:Latent)
MATCH (a)-[r:CO_FIRES]->(b)-[:IN]->(c)
RETURN a.index AS a, b.index AS b, r.count AS count, r.clearCount AS clear_count, r.weakOnly AS weak_only,
       r.expected AS expected, r.p AS p, r.q AS q, r.z AS z, r.logOdds AS log_odds, r.logOddsSe AS log_odds_se,
       r.jaccard AS jaccard, r.phi AS phi, r.npmi AS npmi, r.lift AS lift,
       r.pBGivenA AS p_b_given_a, r.pAGivenB AS p_a_given_b,
       r.magnitudeR AS magnitude_r, r.decoderCosine AS decoder_cosine
ORDER BY log_odds DESC, a, b
