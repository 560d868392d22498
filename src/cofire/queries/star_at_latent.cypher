// name: star_at_latent
// description: The star around one latent: its leaves are the neighbours that co-fire with no other neighbour of it,
//   strongest first. No row where every neighbour co-fires with another one.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param min_log_odds: float or null = null - pairs below it do not count as co-firing; null for no bound
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the leaf's index
// returns log_odds: float - log_odds with the latent
// returns count: integer - tokens on which the two fire
// returns degree: integer - neighbours of the latent, leaves or not
// returns leaves: integer - leaves of the star
// returns independence: float - leaves / degree
// returns weakest_log_odds: float - the least log_odds of all leaves
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

// only: neo4j
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, coalesce($min_log_odds, -1.0e300) AS least
MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= least
WITH collect(x) AS near, least, collect([x, r.logOdds, r.count]) AS links
UNWIND links AS link
WITH near, least, link, link[0] AS x
WITH near, link, EXISTS { MATCH (x)-[q:CO_FIRES]-(y) WHERE y IN near AND q.logOdds >= least } AS joined
WITH count(*) AS degree, collect(CASE WHEN NOT joined THEN [link[0].index, link[1], link[2]] END) AS leaves
WITH degree, leaves, reduce(w = 1.0e300, leaf IN leaves | CASE WHEN leaf[1] < w THEN leaf[1] ELSE w END) AS weakest
UNWIND leaves AS leaf
WITH leaf[0] AS index, leaf[1] AS log_odds, leaf[2] AS count, degree, size(leaves) AS leaves, weakest
ORDER BY log_odds DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
WITH index, log_odds, count, degree, leaves, weakest, $sae + '/' + toString(index) AS uid
MATCH (x:Latent {uid: uid})
RETURN index, log_odds, count, degree, leaves, toFloat(leaves) / degree AS independence, weakest AS weakest_log_odds,
       x.distinctiveTokens AS distinctive_tokens, x.topTokens AS top_tokens
ORDER BY log_odds DESC, index

// only: embedded
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, coalesce($min_log_odds, -1.0e300) AS least
MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= least
WITH least, collect(x) AS near, collect([elementId(x), x.index, r.logOdds, r.count]) AS links,
     map.fromPairs(collect([elementId(x), true])) AS found
CALL (near, found, least) {
  UNWIND near AS x
  // A map finds a neighbour at once where a list is searched from end to end.
  MATCH (x)-[q:CO_FIRES]->(y) WHERE found[elementId(y)] IS NOT NULL AND q.logOdds >= least
  WITH collect(DISTINCT elementId(x)) + collect(DISTINCT elementId(y)) AS inner
  RETURN map.fromPairs([id IN inner | [id, true]]) AS joined
}
WITH size(near) AS degree, [link IN links WHERE joined[link[0]] IS NULL] AS leaves
WITH degree, leaves, reduce(w = 1.0e300, leaf IN leaves | CASE WHEN leaf[2] < w THEN leaf[2] ELSE w END) AS weakest
UNWIND leaves AS leaf
WITH leaf[1] AS index, leaf[2] AS log_odds, leaf[3] AS count, degree, size(leaves) AS leaves, weakest
ORDER BY log_odds DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
WITH index, log_odds, count, degree, leaves, weakest, $sae + '/' + toString(index) AS uid
MATCH (x:Latent {uid: uid})
RETURN index, log_odds, count, degree, leaves, toFloat(leaves) / degree AS independence, weakest AS weakest_log_odds,
       x.distinctiveTokens AS distinctive_tokens, x.topTokens AS top_tokens
ORDER BY log_odds DESC, index
