// name: dense_latents
// description: Latents that fire on a large share of all tokens, most frequent first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_frequency: float 0..1 = 0.1 - least share of the counted tokens
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the latent's index
// returns frequency: float - firing_count / counted tokens
// returns firing_count: integer - tokens on which it fires
// returns mean: float or null - mean activation where it fires
// returns max: float or null - largest activation
// returns partners: integer - latents that it co-fires with
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(a:Latent)
WHERE a.frequency >= $min_frequency
WITH a.index AS index, a.frequency AS frequency, a.firingCount AS firing_count, a.mean AS mean, a.max AS max,
     COUNT { (a)-[:CO_FIRES]-() } AS partners, a.distinctiveTokens AS distinctive_tokens, a.topTokens AS top_tokens
RETURN index, frequency, firing_count, mean, max, partners, distinctive_tokens, top_tokens
ORDER BY frequency DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
