// name: similar_hubs
// description: The latents that share the most partners with one latent, whether or not they co-fire with it.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns index: integer - the other latent's index
// returns shared: integer - latents that co-fire with both
// returns partners: integer - latents that it co-fires with
// returns jaccard: float - shared / latents other than the two that co-fire with either
// returns log_odds: float or null - log_odds of the two; null where they do not co-fire
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[:CO_FIRES]-(x)-[:CO_FIRES]-(b)
WITH b, count(*) AS shared
WITH b.index AS index, shared
ORDER BY shared DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
WITH index, shared, $sae + '/' + toString($index) AS uid_a, $sae + '/' + toString(index) AS uid_b
MATCH (a:Latent {uid: uid_a})
MATCH (b:Latent {uid: uid_b})
WITH a, b, index, shared, COUNT { (a)-[:CO_FIRES]-() } AS degree,
     COUNT { (b)-[:CO_FIRES]-() } AS partners
OPTIONAL MATCH (a)-[r:CO_FIRES]-(b)
RETURN index, shared, partners,
       toFloat(shared) / (degree + partners - shared - CASE WHEN r IS NULL THEN 0 ELSE 2 END) AS jaccard,
       r.logOdds AS log_odds, b.topTokens AS top_tokens
ORDER BY shared DESC, index
