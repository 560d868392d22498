// name: bifans_at_latent
// description: The bi-fans that contain one latent: it and an opposite latent, which do not co-fire, both co-fire with
//   c and with d, which do not co-fire either. Strongest weakest edge first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param min_log_odds: float or null = null - pairs below it do not count as co-firing; null for no bound
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns opposite: integer - index of the opposite latent
// returns c: integer - index of one latent that the two co-fire with
// returns d: integer - index of the other; c < d
// returns weakest_log_odds: float - the least log_odds of the four edges
// returns opposite_tokens: list<string> or null - the tokens that the opposite latent fires on most often
// returns tokens_c: list<string> or null - the tokens that c fires on most often
// returns tokens_d: list<string> or null - the tokens that d fires on most often

// only: neo4j
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, coalesce($min_log_odds, -1.0e300) AS least
MATCH (a)-[r:CO_FIRES]-() WHERE r.logOdds >= least
WITH a, least, r.logOdds AS strength
ORDER BY strength DESC
WITH a, least, collect(strength) AS strengths
// A bi-fan is as strong as its weakest edge. So it is first looked for among strong edges alone, and among weaker
// ones only where that gives too few.
WITH a, least, [i IN CASE WHEN 0 < $limit < 1000 THEN [30, 100, 300] ELSE [] END WHERE i < size(strengths) |
                [strengths[i], $limit]] + [[least, 0]] AS tries
CALL (a, least, tries) {
  UNWIND tries AS try
  CALL (a, least, try) {
    WITH a, least, try[0] AS floor, try[1] AS enough
    MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= floor
    WITH a, least, floor, enough, x, r.logOdds AS strength
    MATCH (x)-[q:CO_FIRES]-(b) WHERE q.logOdds >= floor AND b <> a
    WITH a, least, enough, b, collect([x, CASE WHEN q.logOdds < strength THEN q.logOdds ELSE strength END]) AS ends
    WHERE size(ends) > 1 AND NOT EXISTS { MATCH (a)-[p:CO_FIRES]-(b) WHERE p.logOdds >= least }
    UNWIND ends AS one
    UNWIND ends AS other
    WITH least, enough, b, one, other, one[0] AS x, other[0] AS y
    WHERE x.index < y.index AND NOT EXISTS { MATCH (x)-[p:CO_FIRES]->(y) WHERE p.logOdds >= least }
    WITH enough, b.index AS b, x.index AS c, y.index AS d,
         CASE WHEN one[1] < other[1] THEN one[1] ELSE other[1] END AS weakest
    ORDER BY weakest DESC, b, c, d
    LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
    WITH enough, collect([b, c, d, weakest]) AS rows
    WHERE size(rows) >= enough
    RETURN rows
  }
  RETURN rows LIMIT 1
}
UNWIND rows AS row
WITH row, $sae + '/' + toString(row[0]) AS uid_b, $sae + '/' + toString(row[1]) AS uid_c,
     $sae + '/' + toString(row[2]) AS uid_d
MATCH (b:Latent {uid: uid_b})
MATCH (x:Latent {uid: uid_c})
MATCH (y:Latent {uid: uid_d})
RETURN row[0] AS opposite, row[1] AS c, row[2] AS d, row[3] AS weakest_log_odds, b.topTokens AS opposite_tokens,
       x.topTokens AS tokens_c, y.topTokens AS tokens_d
ORDER BY weakest_log_odds DESC, opposite, c, d

// only: embedded
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, coalesce($min_log_odds, -1.0e300) AS least
MATCH (a)-[r:CO_FIRES]-() WHERE r.logOdds >= least
WITH a, least, r.logOdds AS strength
ORDER BY strength DESC
WITH a, least, collect(strength) AS strengths
// A bi-fan is as strong as its weakest edge. So it is first looked for among strong edges alone, and among all
// only where that gives too few.
WITH a, least, CASE WHEN 0 < $limit < 1000 THEN strengths[100] END AS strong
CALL (a, least, strong) {
  UNWIND CASE WHEN strong IS NULL THEN [] ELSE [strong] END AS floor
  WITH a, least, floor
  // Maps find a neighbour or a pair at once where a list is searched from end to end.
  MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= least
  WITH least, floor, map.fromPairs(collect([elementId(x), true])) AS partners,
       collect(CASE WHEN r.logOdds >= floor THEN [x, r.logOdds] END) AS links
  CALL (floor, links, partners) {
    UNWIND links AS link
    WITH floor, partners, link[0] AS x, link[1] AS strength
    MATCH (x)-[q:CO_FIRES]-(b) WHERE q.logOdds >= floor AND partners[elementId(b)] IS NULL
    WITH b.index AS b, x.index AS c, CASE WHEN q.logOdds < strength THEN q.logOdds ELSE strength END AS w
    WHERE b <> $index
    WITH b, collect([c, w]) AS ends
    RETURN collect(CASE WHEN size(ends) > 1 THEN [b, ends] END) AS fans
  }
  CALL (least, links, partners) {
    UNWIND links AS link
    WITH least, partners, link[0] AS x
    MATCH (x)-[p:CO_FIRES]->(y) WHERE partners[elementId(y)] IS NOT NULL AND p.logOdds >= least
    RETURN map.fromPairs(collect([toString(x.index) + '-' + toString(y.index), true])) AS joined
  }
  UNWIND fans AS fan
  UNWIND fan[1] AS one
  WITH joined, fan, one
  UNWIND fan[1] AS other
  WITH joined, fan[0] AS b, one, other
  WHERE one[0] < other[0] AND joined[toString(one[0]) + '-' + toString(other[0])] IS NULL
  WITH b, one[0] AS c, other[0] AS d, CASE WHEN one[1] < other[1] THEN one[1] ELSE other[1] END AS weakest
  ORDER BY weakest DESC, b, c, d
  LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
  RETURN collect([b, c, d, weakest]) AS strongest
}
CALL (a, least, strongest) {
  UNWIND CASE WHEN 0 < $limit <= size(strongest) THEN [] ELSE [least] END AS floor
  WITH a, least, floor
  // Maps find a neighbour or a pair at once where a list is searched from end to end.
  MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= least
  WITH least, floor, map.fromPairs(collect([elementId(x), true])) AS partners,
       collect(CASE WHEN r.logOdds >= floor THEN [x, r.logOdds] END) AS links
  CALL (floor, links, partners) {
    UNWIND links AS link
    WITH floor, partners, link[0] AS x, link[1] AS strength
    MATCH (x)-[q:CO_FIRES]-(b) WHERE q.logOdds >= floor AND partners[elementId(b)] IS NULL
    WITH b.index AS b, x.index AS c, CASE WHEN q.logOdds < strength THEN q.logOdds ELSE strength END AS w
    WHERE b <> $index
    WITH b, collect([c, w]) AS ends
    RETURN collect(CASE WHEN size(ends) > 1 THEN [b, ends] END) AS fans
  }
  CALL (least, links, partners) {
    UNWIND links AS link
    WITH least, partners, link[0] AS x
    MATCH (x)-[p:CO_FIRES]->(y) WHERE partners[elementId(y)] IS NOT NULL AND p.logOdds >= least
    RETURN map.fromPairs(collect([toString(x.index) + '-' + toString(y.index), true])) AS joined
  }
  UNWIND fans AS fan
  UNWIND fan[1] AS one
  WITH joined, fan, one
  UNWIND fan[1] AS other
  WITH joined, fan[0] AS b, one, other
  WHERE one[0] < other[0] AND joined[toString(one[0]) + '-' + toString(other[0])] IS NULL
  WITH b, one[0] AS c, other[0] AS d, CASE WHEN one[1] < other[1] THEN one[1] ELSE other[1] END AS weakest
  ORDER BY weakest DESC, b, c, d
  LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
  RETURN collect([b, c, d, weakest]) AS found
}
WITH CASE WHEN 0 < $limit <= size(strongest) THEN strongest ELSE found END AS rows
UNWIND rows AS row
WITH row, $sae + '/' + toString(row[0]) AS uid_b, $sae + '/' + toString(row[1]) AS uid_c,
     $sae + '/' + toString(row[2]) AS uid_d
MATCH (b:Latent {uid: uid_b})
MATCH (x:Latent {uid: uid_c})
MATCH (y:Latent {uid: uid_d})
RETURN row[0] AS opposite, row[1] AS c, row[2] AS d, row[3] AS weakest_log_odds, b.topTokens AS opposite_tokens,
       x.topTokens AS tokens_c, y.topTokens AS tokens_d
ORDER BY weakest_log_odds DESC, opposite, c, d
