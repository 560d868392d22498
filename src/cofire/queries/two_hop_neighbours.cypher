// name: two_hop_neighbours
// description: The latents two steps away from one latent: they co-fire with partners of it, but not with it. Those
//   with the most such partners first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 20 - at most so many rows, 0 for all
// returns index: integer - the latent two steps away
// returns shared: integer - latents that co-fire with both
// returns partners: integer - latents that it co-fires with
// returns firing_count: integer - tokens on which it fires
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

// only: neo4j
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[:CO_FIRES]-(x)
// The latent stands among the starting points, too, so that its own neighbours are known by that.
WITH a, collect([x, 0]) + [[a, 1]] AS starts
UNWIND starts AS start
WITH start[0] AS x, start[1] AS here
MATCH (x)-[:CO_FIRES]-(b)
WITH b, count(*) AS shared, max(here) AS joined
WHERE joined = 0
WITH b.index AS index, shared
WHERE index <> $index
WITH index, shared
ORDER BY shared DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
WITH index, shared, $sae + '/' + toString(index) AS uid
MATCH (b:Latent {uid: uid})
RETURN index, shared, COUNT { (b)-[:CO_FIRES]-() } AS partners, b.firingCount AS firing_count,
       b.distinctiveTokens AS distinctive_tokens, b.topTokens AS top_tokens
ORDER BY shared DESC, index

// only: embedded
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[:CO_FIRES]-(x)
WITH collect(x) AS near, map.fromPairs(collect([elementId(x), true]) + [[elementId(a), true]]) AS known
CALL (near) {
  UNWIND near AS x
  MATCH (x)-[:CO_FIRES]-(b)
  WITH b, count(*) AS shared
  RETURN b, shared
}
WITH b, shared
WHERE known[elementId(b)] IS NULL
WITH b.index AS index, shared
ORDER BY shared DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
WITH index, shared, $sae + '/' + toString(index) AS uid
MATCH (b:Latent {uid: uid})
RETURN index, shared, COUNT { (b)-[:CO_FIRES]-() } AS partners, b.firingCount AS firing_count,
       b.distinctiveTokens AS distinctive_tokens, b.topTokens AS top_tokens
ORDER BY shared DESC, index
