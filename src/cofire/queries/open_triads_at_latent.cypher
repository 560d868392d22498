// name: open_triads_at_latent
// description: The open triads at one latent: pairs of its neighbours that do not co-fire, strongest weaker edge first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param min_log_odds: float or null = null - pairs below it do not count as co-firing; null for no bound
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns b: integer - index of one neighbour
// returns c: integer - index of the other; b < c
// returns weaker_log_odds: float - the lesser log_odds of the two edges
// returns log_odds_ab: float - log_odds of the latent and b
// returns log_odds_ac: float - log_odds of the latent and c
// returns tokens_b: list<string> or null - the tokens most distinctive of b
// returns tokens_c: list<string> or null - the tokens most distinctive of c

// only: neo4j
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, coalesce($min_log_odds, -1.0e300) AS least
MATCH (a)-[r:CO_FIRES]-() WHERE r.logOdds >= least
WITH a, least, r.logOdds AS strength
ORDER BY strength DESC
WITH a, least, collect(strength) AS strengths
// A triad is as strong as its weakest edge. So it is first looked for among strong edges alone, and among weaker
// ones only where that gives too few.
WITH a, least, [i IN CASE WHEN 0 < $limit < 1000 THEN [50, 300] ELSE [] END WHERE i < size(strengths) |
                [strengths[i], $limit]] + [[least, 0]] AS tries
CALL (a, least, tries) {
  UNWIND tries AS try
  CALL (a, least, try) {
    WITH a, least, try[0] AS floor, try[1] AS enough
    MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= floor
    MATCH (a)-[p:CO_FIRES]-(y) WHERE p.logOdds >= floor AND x.index < y.index
    WITH enough, least, x, y, r.logOdds AS ab, p.logOdds AS ac
    WHERE NOT EXISTS { MATCH (x)-[q:CO_FIRES]->(y) WHERE q.logOdds >= least }
    WITH enough, x.index AS b, y.index AS c, CASE WHEN ab <= ac THEN ab ELSE ac END AS weaker, ab, ac
    ORDER BY weaker DESC, b, c
    LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
    WITH enough, collect([b, c, weaker, ab, ac]) AS rows
    WHERE size(rows) >= enough
    RETURN rows
  }
  RETURN rows LIMIT 1
}
UNWIND rows AS row
WITH row, $sae + '/' + toString(row[0]) AS uid_b, $sae + '/' + toString(row[1]) AS uid_c
MATCH (x:Latent {uid: uid_b})
MATCH (y:Latent {uid: uid_c})
RETURN row[0] AS b, row[1] AS c, row[2] AS weaker_log_odds, row[3] AS log_odds_ab, row[4] AS log_odds_ac,
       x.distinctiveTokens AS tokens_b, y.distinctiveTokens AS tokens_c
ORDER BY weaker_log_odds DESC, b, c

// only: embedded
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, coalesce($min_log_odds, -1.0e300) AS least
MATCH (a)-[r:CO_FIRES]-() WHERE r.logOdds >= least
WITH a, least, r.logOdds AS strength
ORDER BY strength DESC
WITH a, least, collect(strength) AS strengths
// A triad is as strong as its weakest edge. So it is first looked for among strong edges alone, and among all
// only where that gives too few.
WITH a, least, CASE WHEN 0 < $limit < 1000 THEN strengths[50] END AS strong
CALL (a, least, strong) {
  UNWIND CASE WHEN strong IS NULL THEN [] ELSE [strong] END AS floor
  WITH a, least, floor
  MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= floor
  WITH least, collect(x) AS near, collect([x.index, r.logOdds]) AS links
  UNWIND near AS x
  WITH links, x.index AS b, COLLECT {
    MATCH (x)-[q:CO_FIRES]->(y) WHERE y IN near AND q.logOdds >= least
    RETURN y.index
  } AS joined
  WITH b, head([link IN links WHERE link[0] = b | link[1]]) AS ab,
       [link IN links WHERE link[0] > b AND NOT link[0] IN joined] AS others
  UNWIND others AS other
  WITH b, other[0] AS c, CASE WHEN ab <= other[1] THEN ab ELSE other[1] END AS weaker, ab, other[1] AS ac
  ORDER BY weaker DESC, b, c
  LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
  RETURN collect([b, c, weaker, ab, ac]) AS strongest
}
CALL (a, least, strongest) {
  UNWIND CASE WHEN 0 < $limit <= size(strongest) THEN [] ELSE [least] END AS floor
  WITH a, least, floor
  MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= floor
  WITH least, collect(x) AS near, collect([x.index, r.logOdds]) AS links
  UNWIND near AS x
  WITH links, x.index AS b, COLLECT {
    MATCH (x)-[q:CO_FIRES]->(y) WHERE y IN near AND q.logOdds >= least
    RETURN y.index
  } AS joined
  WITH b, head([link IN links WHERE link[0] = b | link[1]]) AS ab,
       [link IN links WHERE link[0] > b AND NOT link[0] IN joined] AS others
  UNWIND others AS other
  WITH b, other[0] AS c, CASE WHEN ab <= other[1] THEN ab ELSE other[1] END AS weaker, ab, other[1] AS ac
  ORDER BY weaker DESC, b, c
  LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
  RETURN collect([b, c, weaker, ab, ac]) AS found
}
WITH CASE WHEN 0 < $limit <= size(strongest) THEN strongest ELSE found END AS rows
UNWIND rows AS row
WITH row, $sae + '/' + toString(row[0]) AS uid_b, $sae + '/' + toString(row[1]) AS uid_c
MATCH (x:Latent {uid: uid_b})
MATCH (y:Latent {uid: uid_c})
RETURN row[0] AS b, row[1] AS c, row[2] AS weaker_log_odds, row[3] AS log_odds_ab, row[4] AS log_odds_ac,
       x.distinctiveTokens AS tokens_b, y.distinctiveTokens AS tokens_c
ORDER BY weaker_log_odds DESC, b, c
