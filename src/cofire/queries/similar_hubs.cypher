// name: similar_hubs
// description: The latents that share the most partners with one latent, whether or not they co-fire with it.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 20 - at most so many rows, 0 for all
// returns index: integer - the other latent's index
// returns shared: integer - latents that co-fire with both
// returns partners: integer - latents that it co-fires with
// returns jaccard: float - shared / latents other than the two that co-fire with either
// returns log_odds: float or null - log_odds of the two; null where they do not co-fire
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

// only: neo4j
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[:CO_FIRES]-(x)
// The latent stands among the starting points, too, so that its own neighbours are known by that.
WITH a, count(x) AS degree, collect([x, false]) AS starts
UNWIND starts + [[a, true]] AS start
WITH degree, start[0] AS x, start[1] AS here
MATCH (x)-[r:CO_FIRES]-(b)
WITH degree, b, count(*) AS ways, max(CASE WHEN here THEN r.logOdds END) AS log_odds
WITH degree, b.index AS index, CASE WHEN log_odds IS NULL THEN ways ELSE ways - 1 END AS shared, log_odds
WHERE shared > 0 AND index <> $index
WITH degree, index, shared, log_odds
ORDER BY shared DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
WITH degree, index, shared, log_odds, $sae + '/' + toString(index) AS uid
MATCH (b:Latent {uid: uid})
WITH b, degree, index, shared, log_odds, COUNT { (b)-[:CO_FIRES]-() } AS partners
RETURN index, shared, partners,
       toFloat(shared) / (degree + partners - shared - CASE WHEN log_odds IS NULL THEN 0 ELSE 2 END) AS jaccard,
       log_odds, b.distinctiveTokens AS distinctive_tokens, b.topTokens AS top_tokens
ORDER BY shared DESC, index

// only: embedded
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[r:CO_FIRES]-(x)
WITH collect(x) AS near, map.fromPairs(collect([elementId(x), r.logOdds])) AS linked
CALL (near) {
  UNWIND near AS x
  MATCH (x)-[:CO_FIRES]-(b)
  WITH b, count(*) AS shared
  RETURN b, shared
}
WITH size(near) AS degree, b.index AS index, shared, linked[elementId(b)] AS log_odds
WHERE index <> $index
WITH degree, index, shared, log_odds
ORDER BY shared DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
WITH degree, index, shared, log_odds, $sae + '/' + toString(index) AS uid
MATCH (b:Latent {uid: uid})
WITH b, degree, index, shared, log_odds, COUNT { (b)-[:CO_FIRES]-() } AS partners
RETURN index, shared, partners,
       toFloat(shared) / (degree + partners - shared - CASE WHEN log_odds IS NULL THEN 0 ELSE 2 END) AS jaccard,
       log_odds, b.distinctiveTokens AS distinctive_tokens, b.topTokens AS top_tokens
ORDER BY shared DESC, index
