// name: edges_among
// description: The co-firing pairs among the given latents: their own little graph.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param indices: list<integer> - the latents' indices
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

MATCH (s:Sae {uid: $sae, status: 'ready'})
UNWIND $indices AS wanted
WITH DISTINCT s.uid + '/' + toString(wanted) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[r:CO_FIRES]->(b) WHERE b.index IN $indices
RETURN a.index AS a, b.index AS b, r.count AS count, r.expected AS expected, r.logOdds AS log_odds,
       r.jaccard AS jaccard, r.phi AS phi, r.npmi AS npmi, r.lift AS lift,
       r.pBGivenA AS p_b_given_a, r.pAGivenB AS p_a_given_b, r.decoderCosine AS decoder_cosine
ORDER BY log_odds DESC, a, b
