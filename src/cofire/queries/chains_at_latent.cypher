// name: chains_at_latent
// description: The chains of so many latents that begin at one latent: neighbours in the chain co-fire, all others do
//   not. Strongest weakest edge first. Long chains are countless on a large graph: give min_log_odds there. Chains that
//   only pass through the latent are not among them; `cofire motifs --kind path` finds those of the whole graph.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param size: integer 3..6 = 3 - latents of a chain
// param min_log_odds: float or null = null - pairs below it do not count as co-firing; null for no bound
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns members: list<integer> - indices of the latents, from the given one to the other end
// returns weakest_log_odds: float - the least log_odds of its edges
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
// A chain is as strong as its weakest edge. So it is first looked for among strong edges alone, and among weaker
// ones only where that gives too few.
WITH a, least, [i IN CASE WHEN 0 < $limit < 1000 THEN [10, 30, 100] ELSE [] END WHERE i < size(strengths) |
                [strengths[i], $limit]] + [[least, 0]] AS tries
CALL (a, least, tries) {
  UNWIND tries AS try
  CALL (a, least, try) {
    WITH a, least, try[0] AS floor, try[1] AS enough
    MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= floor
    WITH least, floor, enough, [a, x] AS latents, r.logOdds AS score
    CALL (least, floor, latents, score) {
      WITH least, floor, latents, score, last(latents) AS x
      WHERE size(latents) < $size
      MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
      WITH least, latents, score, y, q.logOdds AS strength
      WHERE NOT EXISTS { UNWIND latents[..-1] AS z MATCH (z)-[p:CO_FIRES]-(y) WHERE p.logOdds >= least }
      RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
      UNION ALL
      WITH latents, score
      WHERE size(latents) = $size
      RETURN latents AS grown, score AS weakest
    }
    WITH least, floor, enough, grown AS latents, weakest AS score
    CALL (least, floor, latents, score) {
      WITH least, floor, latents, score, last(latents) AS x
      WHERE size(latents) < $size
      MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
      WITH least, latents, score, y, q.logOdds AS strength
      WHERE NOT EXISTS { UNWIND latents[..-1] AS z MATCH (z)-[p:CO_FIRES]-(y) WHERE p.logOdds >= least }
      RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
      UNION ALL
      WITH latents, score
      WHERE size(latents) = $size
      RETURN latents AS grown, score AS weakest
    }
    WITH least, floor, enough, grown AS latents, weakest AS score
    CALL (least, floor, latents, score) {
      WITH least, floor, latents, score, last(latents) AS x
      WHERE size(latents) < $size
      MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
      WITH least, latents, score, y, q.logOdds AS strength
      WHERE NOT EXISTS { UNWIND latents[..-1] AS z MATCH (z)-[p:CO_FIRES]-(y) WHERE p.logOdds >= least }
      RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
      UNION ALL
      WITH latents, score
      WHERE size(latents) = $size
      RETURN latents AS grown, score AS weakest
    }
    WITH least, floor, enough, grown AS latents, weakest AS score
    CALL (least, floor, latents, score) {
      WITH least, floor, latents, score, last(latents) AS x
      WHERE size(latents) < $size
      MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
      WITH least, latents, score, y, q.logOdds AS strength
      WHERE NOT EXISTS { UNWIND latents[..-1] AS z MATCH (z)-[p:CO_FIRES]-(y) WHERE p.logOdds >= least }
      RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
      UNION ALL
      WITH latents, score
      WHERE size(latents) = $size
      RETURN latents AS grown, score AS weakest
    }
    WITH least, floor, enough, grown AS latents, weakest AS score
    WITH enough, [n IN latents | n.index] AS members, score
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
// A chain is as strong as its weakest edge. So it is first looked for among strong edges alone, and among all
// only where that gives too few.
WITH a, least, CASE WHEN 0 < $limit < 1000 THEN strengths[30] END AS strong
CALL (a, least, strong) {
  UNWIND CASE WHEN strong IS NULL THEN [] ELSE [strong] END AS floor
  WITH a, least, floor
  MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= least
  // A map finds a neighbour at once where a list is searched from end to end.
  WITH a, least, floor, map.fromPairs(collect([elementId(x), true])) AS near,
       collect(CASE WHEN r.logOdds >= floor THEN [x, r.logOdds] END) AS links
  UNWIND links AS link
  WITH least, floor, near, [a, link[0]] AS latents, link[1] AS score
  CALL (least, floor, near, latents, score) {
    WITH least, floor, near, latents, score, last(latents) AS x
    WHERE size(latents) < $size
    MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
          AND near[elementId(y)] IS NULL
    WITH least, latents, score, y, q.logOdds AS strength
    WHERE size(latents) = 2 OR
          NOT EXISTS { MATCH (y)-[p:CO_FIRES]-(z) WHERE z IN latents[1..-1] AND p.logOdds >= least }
    RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
    UNION ALL
    WITH latents, score
    WHERE size(latents) = $size
    RETURN latents AS grown, score AS weakest
  }
  WITH least, floor, near, grown AS latents, weakest AS score
  CALL (least, floor, near, latents, score) {
    WITH least, floor, near, latents, score, last(latents) AS x
    WHERE size(latents) < $size
    MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
          AND near[elementId(y)] IS NULL
    WITH least, latents, score, y, q.logOdds AS strength
    WHERE size(latents) = 2 OR
          NOT EXISTS { MATCH (y)-[p:CO_FIRES]-(z) WHERE z IN latents[1..-1] AND p.logOdds >= least }
    RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
    UNION ALL
    WITH latents, score
    WHERE size(latents) = $size
    RETURN latents AS grown, score AS weakest
  }
  WITH least, floor, near, grown AS latents, weakest AS score
  CALL (least, floor, near, latents, score) {
    WITH least, floor, near, latents, score, last(latents) AS x
    WHERE size(latents) < $size
    MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
          AND near[elementId(y)] IS NULL
    WITH least, latents, score, y, q.logOdds AS strength
    WHERE size(latents) = 2 OR
          NOT EXISTS { MATCH (y)-[p:CO_FIRES]-(z) WHERE z IN latents[1..-1] AND p.logOdds >= least }
    RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
    UNION ALL
    WITH latents, score
    WHERE size(latents) = $size
    RETURN latents AS grown, score AS weakest
  }
  WITH least, floor, near, grown AS latents, weakest AS score
  CALL (least, floor, near, latents, score) {
    WITH least, floor, near, latents, score, last(latents) AS x
    WHERE size(latents) < $size
    MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
          AND near[elementId(y)] IS NULL
    WITH least, latents, score, y, q.logOdds AS strength
    WHERE size(latents) = 2 OR
          NOT EXISTS { MATCH (y)-[p:CO_FIRES]-(z) WHERE z IN latents[1..-1] AND p.logOdds >= least }
    RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
    UNION ALL
    WITH latents, score
    WHERE size(latents) = $size
    RETURN latents AS grown, score AS weakest
  }
  WITH least, floor, near, grown AS latents, weakest AS score
  WITH [n IN latents | n.index] AS members, score
  ORDER BY score DESC, members
  LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
  RETURN collect([members, score]) AS strongest
}
CALL (a, least, strongest) {
  UNWIND CASE WHEN 0 < $limit <= size(strongest) THEN [] ELSE [least] END AS floor
  WITH a, least, floor
  MATCH (a)-[r:CO_FIRES]-(x) WHERE r.logOdds >= least
  // A map finds a neighbour at once where a list is searched from end to end.
  WITH a, least, floor, map.fromPairs(collect([elementId(x), true])) AS near,
       collect(CASE WHEN r.logOdds >= floor THEN [x, r.logOdds] END) AS links
  UNWIND links AS link
  WITH least, floor, near, [a, link[0]] AS latents, link[1] AS score
  CALL (least, floor, near, latents, score) {
    WITH least, floor, near, latents, score, last(latents) AS x
    WHERE size(latents) < $size
    MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
          AND near[elementId(y)] IS NULL
    WITH least, latents, score, y, q.logOdds AS strength
    WHERE size(latents) = 2 OR
          NOT EXISTS { MATCH (y)-[p:CO_FIRES]-(z) WHERE z IN latents[1..-1] AND p.logOdds >= least }
    RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
    UNION ALL
    WITH latents, score
    WHERE size(latents) = $size
    RETURN latents AS grown, score AS weakest
  }
  WITH least, floor, near, grown AS latents, weakest AS score
  CALL (least, floor, near, latents, score) {
    WITH least, floor, near, latents, score, last(latents) AS x
    WHERE size(latents) < $size
    MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
          AND near[elementId(y)] IS NULL
    WITH least, latents, score, y, q.logOdds AS strength
    WHERE size(latents) = 2 OR
          NOT EXISTS { MATCH (y)-[p:CO_FIRES]-(z) WHERE z IN latents[1..-1] AND p.logOdds >= least }
    RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
    UNION ALL
    WITH latents, score
    WHERE size(latents) = $size
    RETURN latents AS grown, score AS weakest
  }
  WITH least, floor, near, grown AS latents, weakest AS score
  CALL (least, floor, near, latents, score) {
    WITH least, floor, near, latents, score, last(latents) AS x
    WHERE size(latents) < $size
    MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
          AND near[elementId(y)] IS NULL
    WITH least, latents, score, y, q.logOdds AS strength
    WHERE size(latents) = 2 OR
          NOT EXISTS { MATCH (y)-[p:CO_FIRES]-(z) WHERE z IN latents[1..-1] AND p.logOdds >= least }
    RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
    UNION ALL
    WITH latents, score
    WHERE size(latents) = $size
    RETURN latents AS grown, score AS weakest
  }
  WITH least, floor, near, grown AS latents, weakest AS score
  CALL (least, floor, near, latents, score) {
    WITH least, floor, near, latents, score, last(latents) AS x
    WHERE size(latents) < $size
    MATCH (x)-[q:CO_FIRES]-(y) WHERE q.logOdds >= floor AND NOT y IN latents
          AND near[elementId(y)] IS NULL
    WITH least, latents, score, y, q.logOdds AS strength
    WHERE size(latents) = 2 OR
          NOT EXISTS { MATCH (y)-[p:CO_FIRES]-(z) WHERE z IN latents[1..-1] AND p.logOdds >= least }
    RETURN latents + [y] AS grown, CASE WHEN strength < score THEN strength ELSE score END AS weakest
    UNION ALL
    WITH latents, score
    WHERE size(latents) = $size
    RETURN latents AS grown, score AS weakest
  }
  WITH least, floor, near, grown AS latents, weakest AS score
  WITH [n IN latents | n.index] AS members, score
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
