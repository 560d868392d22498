// name: cluster_edges
// description: The co-firing pairs inside one cluster, strongest first.
// param cluster: string - uid of the cluster
// returns a: integer - the lower index
// returns b: integer - the higher index
// returns count: integer - tokens on which both fire
// returns expected: float - joint firings if the two were independent
// returns log_odds: float - log odds of the joint firing less those expected (natural log)
// returns jaccard: float - count / tokens on which either fires
// returns phi: float or null - correlation of the two firing indicators
// returns npmi: float or null - normalised pointwise mutual information
// returns lift: float - count / expected
// returns p_b_given_a: float - P(b fires | a fires)
// returns p_a_given_b: float - P(a fires | b fires)
// returns decoder_cosine: float or null - cosine of the decoder directions; null without weights

MATCH (c:Cluster {uid: $cluster})
WITH c
MATCH (s:Sae {uid: c.sae, status: 'ready'})
WITH c
MATCH (c)<-[:IN]-(a:Latent)
MATCH (a)-[r:CO_FIRES]->(b)-[:IN]->(c)
RETURN a.index AS a, b.index AS b, r.count AS count, r.expected AS expected, r.logOdds AS log_odds,
       r.jaccard AS jaccard, r.phi AS phi, r.npmi AS npmi, r.lift AS lift,
       r.pBGivenA AS p_b_given_a, r.pAGivenB AS p_a_given_b, r.decoderCosine AS decoder_cosine
ORDER BY log_odds DESC, a, b
