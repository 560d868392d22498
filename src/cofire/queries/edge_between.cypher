// name: edge_between
// description: All numbers of one co-firing pair, whichever way round it is given; no row where the pair has no edge.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param a: integer 0.. - one latent's index
// param b: integer 0.. - the other's
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
// returns firing_count_a: integer - tokens on which a fires
// returns firing_count_b: integer - tokens on which b fires
// returns tokens_a: list<string> or null - the tokens that a fires on most often
// returns tokens_b: list<string> or null - the tokens that b fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($a) AS uid_a, s.uid + '/' + toString($b) AS uid_b
MATCH (x:Latent {uid: uid_a})
MATCH (y:Latent {uid: uid_b})
WITH x, y
MATCH (x)-[r:CO_FIRES]-(y)
WITH r, CASE WHEN x.index < y.index THEN x ELSE y END AS a, CASE WHEN x.index < y.index THEN y ELSE x END AS b
RETURN a.index AS a, b.index AS b, r.count AS count, r.expected AS expected, r.logOdds AS log_odds,
       r.jaccard AS jaccard, r.phi AS phi, r.npmi AS npmi, r.lift AS lift,
       r.pBGivenA AS p_b_given_a, r.pAGivenB AS p_a_given_b, r.decoderCosine AS decoder_cosine,
       a.firingCount AS firing_count_a, b.firingCount AS firing_count_b,
       a.topTokens AS tokens_a, b.topTokens AS tokens_b
