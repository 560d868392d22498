// name: triangles_through_latent
// description: The triangles that one latent closes: pairs of its neighbours that co-fire too, strongest weakest edge
//   first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns b: integer - index of the second latent
// returns c: integer - index of the third latent; b < c
// returns weakest_log_odds: float - the least log_odds of the three edges
// returns log_odds_ab: float - log_odds of the latent and b
// returns log_odds_ac: float - log_odds of the latent and c
// returns log_odds_bc: float - log_odds of b and c
// returns least_count: integer - the least joint firing count of the three edges
// returns tokens_b: list<string> or null - the tokens most distinctive of b
// returns tokens_c: list<string> or null - the tokens most distinctive of c

// only: neo4j
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, -1.0e300 AS least
MATCH (a)-[r:CO_FIRES]-() WHERE r.logOdds >= least
WITH a, least, r.logOdds AS strength
ORDER BY strength DESC
WITH a, least, collect(strength) AS strengths
// A triangle is as strong as its weakest edge. So it is first looked for among strong edges alone, and among weaker
// ones only where that gives too few.
WITH a, least, [i IN CASE WHEN 0 < $limit < 1000 THEN [30, 100, 300] ELSE [] END WHERE i < size(strengths) |
                [strengths[i], $limit]] + [[least, 0]] AS tries
CALL (a, least, tries) {
  UNWIND tries AS try
  CALL (a, try) {
    WITH a, try[0] AS floor, try[1] AS enough
    MATCH (a)-[ab:CO_FIRES]-(x) WHERE ab.logOdds >= floor
    MATCH (x)-[bc:CO_FIRES]->(y)-[ac:CO_FIRES]-(a) WHERE bc.logOdds >= floor AND ac.logOdds >= floor
    WITH enough, x.index AS b, y.index AS c, ab.logOdds AS ab, ac.logOdds AS ac, bc.logOdds AS bc,
         [ab.count, ac.count, bc.count] AS counts
    WITH enough, b, c, ab, ac, bc, reduce(w = ab, v IN [ac, bc] | CASE WHEN v < w THEN v ELSE w END) AS weakest,
         reduce(n = counts[0], m IN counts | CASE WHEN m < n THEN m ELSE n END) AS least_count
    ORDER BY weakest DESC, b, c
    LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
    WITH enough, collect([b, c, weakest, ab, ac, bc, least_count]) AS rows
    WHERE size(rows) >= enough
    RETURN rows
  }
  RETURN rows LIMIT 1
}
UNWIND rows AS row
WITH row, $sae + '/' + toString(row[0]) AS uid_b, $sae + '/' + toString(row[1]) AS uid_c
MATCH (x:Latent {uid: uid_b})
MATCH (y:Latent {uid: uid_c})
RETURN row[0] AS b, row[1] AS c, row[2] AS weakest_log_odds, row[3] AS log_odds_ab, row[4] AS log_odds_ac,
       row[5] AS log_odds_bc, row[6] AS least_count, x.distinctiveTokens AS tokens_b, y.distinctiveTokens AS tokens_c
ORDER BY weakest_log_odds DESC, b, c

// only: embedded
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, -1.0e300 AS least
MATCH (a)-[r:CO_FIRES]-() WHERE r.logOdds >= least
WITH a, least, r.logOdds AS strength
ORDER BY strength DESC
WITH a, least, collect(strength) AS strengths
// A triangle is as strong as its weakest edge. So it is first looked for among strong edges alone, and among all
// only where that gives too few.
WITH a, least, CASE WHEN 0 < $limit < 1000 THEN strengths[300] END AS strong
CALL (a, least, strong) {
  UNWIND CASE WHEN strong IS NULL THEN [] ELSE [strong] END AS floor
  WITH a, least, floor
  MATCH (a)-[ab:CO_FIRES]-(x) WHERE ab.logOdds >= floor
  // A map finds a neighbour at once where a list is searched from end to end.
  WITH floor, collect([x, ab.logOdds, ab.count]) AS links,
       map.fromPairs(collect([elementId(x), [ab.logOdds, ab.count]])) AS near
  UNWIND links AS link
  WITH floor, near, link, link[0] AS x
  MATCH (x)-[bc:CO_FIRES]->(y) WHERE near[elementId(y)] IS NOT NULL AND bc.logOdds >= floor
  WITH x.index AS b, y.index AS c, link, near[elementId(y)] AS other, bc
  WITH b, c, link[1] AS ab, other[0] AS ac, bc.logOdds AS bc, [link[2], other[1], bc.count] AS counts
  WITH b, c, ab, ac, bc, reduce(w = ab, v IN [ac, bc] | CASE WHEN v < w THEN v ELSE w END) AS weakest,
       reduce(n = counts[0], m IN counts | CASE WHEN m < n THEN m ELSE n END) AS least_count
  ORDER BY weakest DESC, b, c
  LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
  RETURN collect([b, c, weakest, ab, ac, bc, least_count]) AS strongest
}
CALL (a, least, strongest) {
  UNWIND CASE WHEN 0 < $limit <= size(strongest) THEN [] ELSE [least] END AS floor
  WITH a, least, floor
  MATCH (a)-[ab:CO_FIRES]-(x) WHERE ab.logOdds >= floor
  // A map finds a neighbour at once where a list is searched from end to end.
  WITH floor, collect([x, ab.logOdds, ab.count]) AS links,
       map.fromPairs(collect([elementId(x), [ab.logOdds, ab.count]])) AS near
  UNWIND links AS link
  WITH floor, near, link, link[0] AS x
  MATCH (x)-[bc:CO_FIRES]->(y) WHERE near[elementId(y)] IS NOT NULL AND bc.logOdds >= floor
  WITH x.index AS b, y.index AS c, link, near[elementId(y)] AS other, bc
  WITH b, c, link[1] AS ab, other[0] AS ac, bc.logOdds AS bc, [link[2], other[1], bc.count] AS counts
  WITH b, c, ab, ac, bc, reduce(w = ab, v IN [ac, bc] | CASE WHEN v < w THEN v ELSE w END) AS weakest,
       reduce(n = counts[0], m IN counts | CASE WHEN m < n THEN m ELSE n END) AS least_count
  ORDER BY weakest DESC, b, c
  LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
  RETURN collect([b, c, weakest, ab, ac, bc, least_count]) AS found
}
WITH CASE WHEN 0 < $limit <= size(strongest) THEN strongest ELSE found END AS rows
UNWIND rows AS row
WITH row, $sae + '/' + toString(row[0]) AS uid_b, $sae + '/' + toString(row[1]) AS uid_c
MATCH (x:Latent {uid: uid_b})
MATCH (y:Latent {uid: uid_c})
RETURN row[0] AS b, row[1] AS c, row[2] AS weakest_log_odds, row[3] AS log_odds_ab, row[4] AS log_odds_ac,
       row[5] AS log_odds_bc, row[6] AS least_count, x.distinctiveTokens AS tokens_b, y.distinctiveTokens AS tokens_c
ORDER BY weakest_log_odds DESC, b, c
