// name: contained_latents
// description: Pairs in which one latent fires only where the other does, but not the reverse: candidates for parent
//   and child. Containment of firing alone is no proof.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_p: float 0..1 = 0.8 - least P(the container fires | the contained one fires)
// param max_reverse: float 0..1 = 0.5 - largest P(the contained one fires | the container fires)
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns contained: integer - index of the latent that fires inside the other
// returns container: integer - index of the other
// returns p_container_given_contained: float - P(the container fires | the contained one fires)
// returns p_contained_given_container: float - P(the contained one fires | the container fires)
// returns count: integer - tokens on which both fire
// returns log_odds: float - log odds of the joint firing less those expected (natural log)
// returns decoder_cosine: float or null - cosine of the decoder directions; null without weights
// returns contained_tokens: list<string> or null - the tokens most distinctive of the contained latent
// returns container_tokens: list<string> or null - the tokens most distinctive of the container

MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(x:Latent)
MATCH (x)-[r:CO_FIRES]-(y)
WITH x, y, r, CASE WHEN x.index < y.index THEN r.pBGivenA ELSE r.pAGivenB END AS p,
     CASE WHEN x.index < y.index THEN r.pAGivenB ELSE r.pBGivenA END AS reverse
WHERE p >= $min_p AND reverse <= $max_reverse
WITH x.index AS contained, y.index AS container, p AS p_container_given_contained,
     reverse AS p_contained_given_container, r.count AS count, r.logOdds AS log_odds,
     r.decoderCosine AS decoder_cosine, x.distinctiveTokens AS contained_tokens, y.distinctiveTokens AS container_tokens
RETURN contained, container, p_container_given_contained, p_contained_given_container, count, log_odds,
       decoder_cosine, contained_tokens, container_tokens
ORDER BY p_container_given_contained DESC, log_odds DESC, contained, container
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
