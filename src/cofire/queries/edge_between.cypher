// name: edge_between
// description: All numbers of one co-firing pair, whichever way round it is given; no row where the pair has no edge.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param a: integer 0.. - one latent's index
// param b: integer 0.. - the other's
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
// returns firing_count_a: integer - tokens on which a fires
// returns firing_count_b: integer - tokens on which b fires
// returns tokens_a: list<string> or null - the tokens most distinctive of a
// returns tokens_b: list<string> or null - the tokens most distinctive of b

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($a) AS uid_a, s.uid + '/' + toString($b) AS uid_b
MATCH (x:Latent {uid: uid_a})
MATCH (y:Latent {uid: uid_b})
WITH x, y
MATCH (x)-[r:CO_FIRES]-(y)
WITH r, CASE WHEN x.index < y.index THEN x ELSE y END AS a, CASE WHEN x.index < y.index THEN y ELSE x END AS b
RETURN a.index AS a, b.index AS b, r.count AS count, r.clearCount AS clear_count, r.weakOnly AS weak_only,
       r.expected AS expected, r.p AS p, r.q AS q, r.z AS z, r.logOdds AS log_odds, r.logOddsSe AS log_odds_se,
       r.jaccard AS jaccard, r.phi AS phi, r.npmi AS npmi, r.lift AS lift,
       r.pBGivenA AS p_b_given_a, r.pAGivenB AS p_a_given_b,
       r.magnitudeR AS magnitude_r, r.decoderCosine AS decoder_cosine,
       a.firingCount AS firing_count_a, b.firingCount AS firing_count_b,
       a.distinctiveTokens AS tokens_a, b.distinctiveTokens AS tokens_b
