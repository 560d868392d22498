// name: cliques_at_latent
// description: The cliques of so many latents, each co-firing with all others, that contain one latent, strongest
//   weakest edge first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param size: integer 3..6 = 4 - latents of a clique
// param min_log_odds: float or null = null - pairs below it do not count as co-firing; null for no bound
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns members: list<integer> - indices of the latents, ascending
// returns weakest_log_odds: float - the least log_odds of all its edges
// returns member_tokens: list<list<string>> - for each latent, the three tokens that it fires on most often

// only: neo4j
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, coalesce($min_log_odds, -1.0e300) AS least
MATCH (a)-[r:CO_FIRES]-() WHERE r.logOdds >= least
WITH a, least, r.logOdds AS strength
ORDER BY strength DESC
WITH a, least, collect(strength) AS strengths
// A clique is as strong as its weakest edge. So it is first looked for among strong edges alone, and among weaker
// ones only where that gives too few.
WITH a, least, [i IN CASE WHEN 0 < $limit < 1000 THEN [100, 300, 600, 1200] ELSE [] END WHERE i < size(strengths) |
                [strengths[i], $limit]] + [[least, 0]] AS tries
CALL (a, least, tries) {
  UNWIND tries AS try
  CALL (a, try) {
    WITH a, try[0] AS floor, try[1] AS enough
    MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= floor
    MATCH (x)-[q:CO_FIRES]->(y)-[p:CO_FIRES]-(a) WHERE q.logOdds >= floor AND p.logOdds >= floor
    WITH floor, enough, x, y,
         reduce(w = r.logOdds, v IN [p.logOdds, q.logOdds] | CASE WHEN v < w THEN v ELSE w END) AS w
    ORDER BY x.index, y.index
    // Beside the latents of a clique so far, those that co-fire with all of them, each with its weakest edge.
    WITH floor, enough, [x] AS latents, 1.0e300 AS score, collect([y, w]) AS others
    UNWIND CASE WHEN size(latents) < $size - 1 THEN range(0, size(others) - 1) ELSE [-1] END AS i
    WITH floor, enough, i, others, CASE WHEN i < 0 THEN latents ELSE latents + [others[i][0]] END AS latents,
         CASE WHEN i >= 0 AND others[i][1] < score THEN others[i][1] ELSE score END AS score
    CALL (floor, i, others, latents) {
      WITH last(latents) AS x
      UNWIND CASE WHEN i < 0 OR size(latents) = $size - 1 THEN [] ELSE others[i + 1..] END AS other
      WITH x, other, other[0] AS y
      MATCH (x)-[q:CO_FIRES]->(y) WHERE q.logOdds >= floor
      RETURN collect([y, CASE WHEN q.logOdds < other[1] THEN q.logOdds ELSE other[1] END]) AS above
    }
    WITH floor, enough, latents, score, above AS others
    UNWIND CASE WHEN size(latents) < $size - 1 THEN range(0, size(others) - 1) ELSE [-1] END AS i
    WITH floor, enough, i, others, CASE WHEN i < 0 THEN latents ELSE latents + [others[i][0]] END AS latents,
         CASE WHEN i >= 0 AND others[i][1] < score THEN others[i][1] ELSE score END AS score
    CALL (floor, i, others, latents) {
      WITH last(latents) AS x
      UNWIND CASE WHEN i < 0 OR size(latents) = $size - 1 THEN [] ELSE others[i + 1..] END AS other
      WITH x, other, other[0] AS y
      MATCH (x)-[q:CO_FIRES]->(y) WHERE q.logOdds >= floor
      RETURN collect([y, CASE WHEN q.logOdds < other[1] THEN q.logOdds ELSE other[1] END]) AS above
    }
    WITH floor, enough, latents, score, above AS others
    UNWIND CASE WHEN size(latents) < $size - 1 THEN range(0, size(others) - 1) ELSE [-1] END AS i
    WITH floor, enough, i, others, CASE WHEN i < 0 THEN latents ELSE latents + [others[i][0]] END AS latents,
         CASE WHEN i >= 0 AND others[i][1] < score THEN others[i][1] ELSE score END AS score
    CALL (floor, i, others, latents) {
      WITH last(latents) AS x
      UNWIND CASE WHEN i < 0 OR size(latents) = $size - 1 THEN [] ELSE others[i + 1..] END AS other
      WITH x, other, other[0] AS y
      MATCH (x)-[q:CO_FIRES]->(y) WHERE q.logOdds >= floor
      RETURN collect([y, CASE WHEN q.logOdds < other[1] THEN q.logOdds ELSE other[1] END]) AS above
    }
    WITH floor, enough, latents, score, above AS others
    UNWIND CASE WHEN size(latents) < $size - 1 THEN range(0, size(others) - 1) ELSE [-1] END AS i
    WITH floor, enough, i, others, CASE WHEN i < 0 THEN latents ELSE latents + [others[i][0]] END AS latents,
         CASE WHEN i >= 0 AND others[i][1] < score THEN others[i][1] ELSE score END AS score
    CALL (floor, i, others, latents) {
      WITH last(latents) AS x
      UNWIND CASE WHEN i < 0 OR size(latents) = $size - 1 THEN [] ELSE others[i + 1..] END AS other
      WITH x, other, other[0] AS y
      MATCH (x)-[q:CO_FIRES]->(y) WHERE q.logOdds >= floor
      RETURN collect([y, CASE WHEN q.logOdds < other[1] THEN q.logOdds ELSE other[1] END]) AS above
    }
    WITH floor, enough, latents, score, above AS others
    WITH enough, [n IN latents | n.index] AS others, score
    WITH enough, [i IN others WHERE i < $index] + [$index] + [i IN others WHERE i > $index] AS members, score
    ORDER BY score DESC, members
    LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
    WITH enough, collect([members, score]) AS rows
    WHERE size(rows) >= enough
    RETURN rows
  }
  RETURN rows LIMIT 1
}
UNWIND rows AS row
WITH row[0] AS members, row[1] AS weakest_log_odds
UNWIND range(0, size(members) - 1) AS place
WITH members, weakest_log_odds, place, $sae + '/' + toString(members[place]) AS uid
MATCH (m:Latent {uid: uid})
WITH members, weakest_log_odds, place, coalesce(m.topTokens, [])[..3] AS tokens
ORDER BY weakest_log_odds DESC, members, place
WITH members, weakest_log_odds, collect(tokens) AS member_tokens
RETURN members, weakest_log_odds, member_tokens
ORDER BY weakest_log_odds DESC, members

// only: embedded
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a, coalesce($min_log_odds, -1.0e300) AS least
MATCH (a)-[r:CO_FIRES]-() WHERE r.logOdds >= least
WITH a, least, r.logOdds AS strength
ORDER BY strength DESC
WITH a, least, collect(strength) AS strengths
// A clique is as strong as its weakest edge. So it is first looked for among strong edges alone, and among all
// only where that gives too few.
WITH a, least, CASE WHEN 0 < $limit < 1000 THEN strengths[600] END AS strong
CALL (a, least, strong) {
  UNWIND CASE WHEN strong IS NULL THEN [] ELSE [strong] END AS floor
  WITH a, least, floor
  MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= floor
  // Maps find a neighbour, and the edge of two neighbours, at once where a list is searched from end to end.
  WITH floor, collect([x, r.logOdds]) AS links, map.fromPairs(collect([elementId(x), r.logOdds])) AS near
  CALL (floor, links, near) {
    UNWIND links AS link
    WITH floor, near, link, link[0] AS x
    MATCH (x)-[q:CO_FIRES]->(y) WHERE near[elementId(y)] IS NOT NULL AND q.logOdds >= floor
    WITH x.index AS b, y.index AS c, reduce(w = q.logOdds, v IN [link[1], near[elementId(y)]] |
                                            CASE WHEN v < w THEN v ELSE w END) AS w
    // The engine counts what a row to be sorted holds, and would count the map once for each.
    WITH b, c, w
    ORDER BY b, c
    WITH toString(b) AS b, collect(toString(c)) AS above, map.fromPairs(collect([toString(c), w])) AS row
    RETURN collect([b, above]) AS starts, map.fromPairs(collect([b, row])) AS edges
  }
  UNWIND starts AS start
  WITH edges, [start[0]] AS others, start[1] AS above
  UNWIND CASE WHEN size(others) < $size - 1 THEN range(0, size(above) - 1) ELSE [-1] END AS i
  WITH edges, i, above, others, CASE WHEN i >= 0 THEN edges[above[i]] END AS row
  WITH edges, CASE WHEN i < 0 THEN others ELSE others + [above[i]] END AS others,
       CASE WHEN row IS NULL THEN [] ELSE [z IN above[i + 1..] WHERE row[z] IS NOT NULL] END AS above
  UNWIND CASE WHEN size(others) < $size - 1 THEN range(0, size(above) - 1) ELSE [-1] END AS i
  WITH edges, i, above, others, CASE WHEN i >= 0 THEN edges[above[i]] END AS row
  WITH edges, CASE WHEN i < 0 THEN others ELSE others + [above[i]] END AS others,
       CASE WHEN row IS NULL THEN [] ELSE [z IN above[i + 1..] WHERE row[z] IS NOT NULL] END AS above
  UNWIND CASE WHEN size(others) < $size - 1 THEN range(0, size(above) - 1) ELSE [-1] END AS i
  WITH edges, i, above, others, CASE WHEN i >= 0 THEN edges[above[i]] END AS row
  WITH edges, CASE WHEN i < 0 THEN others ELSE others + [above[i]] END AS others,
       CASE WHEN row IS NULL THEN [] ELSE [z IN above[i + 1..] WHERE row[z] IS NOT NULL] END AS above
  UNWIND CASE WHEN size(others) < $size - 1 THEN range(0, size(above) - 1) ELSE [-1] END AS i
  WITH edges, i, above, others, CASE WHEN i >= 0 THEN edges[above[i]] END AS row
  WITH edges, CASE WHEN i < 0 THEN others ELSE others + [above[i]] END AS others,
       CASE WHEN row IS NULL THEN [] ELSE [z IN above[i + 1..] WHERE row[z] IS NOT NULL] END AS above
  WITH [o IN others | toInteger(o)] AS others,
       reduce(w = 1.0e300, i IN range(0, size(others) - 2) | reduce(u = w, o IN others[i + 1..] |
         CASE WHEN edges[others[i]][o] < u THEN edges[others[i]][o] ELSE u END)) AS score
  WITH [i IN others WHERE i < $index] + [$index] + [i IN others WHERE i > $index] AS members, score
  ORDER BY score DESC, members
  LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
  RETURN collect([members, score]) AS strongest
}
CALL (a, least, strongest) {
  UNWIND CASE WHEN 0 < $limit <= size(strongest) THEN [] ELSE [least] END AS floor
  WITH a, least, floor
  MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= floor
  // Maps find a neighbour, and the edge of two neighbours, at once where a list is searched from end to end.
  WITH floor, collect([x, r.logOdds]) AS links, map.fromPairs(collect([elementId(x), r.logOdds])) AS near
  CALL (floor, links, near) {
    UNWIND links AS link
    WITH floor, near, link, link[0] AS x
    MATCH (x)-[q:CO_FIRES]->(y) WHERE near[elementId(y)] IS NOT NULL AND q.logOdds >= floor
    WITH x.index AS b, y.index AS c, reduce(w = q.logOdds, v IN [link[1], near[elementId(y)]] |
                                            CASE WHEN v < w THEN v ELSE w END) AS w
    // The engine counts what a row to be sorted holds, and would count the map once for each.
    WITH b, c, w
    ORDER BY b, c
    WITH toString(b) AS b, collect(toString(c)) AS above, map.fromPairs(collect([toString(c), w])) AS row
    RETURN collect([b, above]) AS starts, map.fromPairs(collect([b, row])) AS edges
  }
  UNWIND starts AS start
  WITH edges, [start[0]] AS others, start[1] AS above
  UNWIND CASE WHEN size(others) < $size - 1 THEN range(0, size(above) - 1) ELSE [-1] END AS i
  WITH edges, i, above, others, CASE WHEN i >= 0 THEN edges[above[i]] END AS row
  WITH edges, CASE WHEN i < 0 THEN others ELSE others + [above[i]] END AS others,
       CASE WHEN row IS NULL THEN [] ELSE [z IN above[i + 1..] WHERE row[z] IS NOT NULL] END AS above
  UNWIND CASE WHEN size(others) < $size - 1 THEN range(0, size(above) - 1) ELSE [-1] END AS i
  WITH edges, i, above, others, CASE WHEN i >= 0 THEN edges[above[i]] END AS row
  WITH edges, CASE WHEN i < 0 THEN others ELSE others + [above[i]] END AS others,
       CASE WHEN row IS NULL THEN [] ELSE [z IN above[i + 1..] WHERE row[z] IS NOT NULL] END AS above
  UNWIND CASE WHEN size(others) < $size - 1 THEN range(0, size(above) - 1) ELSE [-1] END AS i
  WITH edges, i, above, others, CASE WHEN i >= 0 THEN edges[above[i]] END AS row
  WITH edges, CASE WHEN i < 0 THEN others ELSE others + [above[i]] END AS others,
       CASE WHEN row IS NULL THEN [] ELSE [z IN above[i + 1..] WHERE row[z] IS NOT NULL] END AS above
  UNWIND CASE WHEN size(others) < $size - 1 THEN range(0, size(above) - 1) ELSE [-1] END AS i
  WITH edges, i, above, others, CASE WHEN i >= 0 THEN edges[above[i]] END AS row
  WITH edges, CASE WHEN i < 0 THEN others ELSE others + [above[i]] END AS others,
       CASE WHEN row IS NULL THEN [] ELSE [z IN above[i + 1..] WHERE row[z] IS NOT NULL] END AS above
  WITH [o IN others | toInteger(o)] AS others,
       reduce(w = 1.0e300, i IN range(0, size(others) - 2) | reduce(u = w, o IN others[i + 1..] |
         CASE WHEN edges[others[i]][o] < u THEN edges[others[i]][o] ELSE u END)) AS score
  WITH [i IN others WHERE i < $index] + [$index] + [i IN others WHERE i > $index] AS members, score
  ORDER BY score DESC, members
  LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
  RETURN collect([members, score]) AS found
}
WITH CASE WHEN 0 < $limit <= size(strongest) THEN strongest ELSE found END AS rows
UNWIND rows AS row
WITH row[0] AS members, row[1] AS weakest_log_odds
UNWIND range(0, size(members) - 1) AS place
WITH members, weakest_log_odds, place, $sae + '/' + toString(members[place]) AS uid
MATCH (m:Latent {uid: uid})
WITH members, weakest_log_odds, place, coalesce(m.topTokens, [])[..3] AS tokens
ORDER BY weakest_log_odds DESC, members, place
WITH members, weakest_log_odds, collect(tokens) AS member_tokens
RETURN members, weakest_log_odds, member_tokens
ORDER BY weakest_log_odds DESC, members
