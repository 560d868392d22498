// name: motif_counts
// description: How many stars, cliques, paths and bi-fans one SAE's graph has, and how many it has when it is rewired
//   with all degrees kept; the most over-represented first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_z: float or null = null - least z-score
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns kind: string - star, clique, path or bifan
// returns size: integer - latents in the motif
// returns count: integer - motifs in the graph
// returns null_mean: float or null - mean over the rewired graphs
// returns null_sd: float or null - standard deviation over them
// returns z: float or null - (count - null_mean) / null_sd; null where null_sd is 0
// returns rewires: integer - rewired graphs

MATCH (s:Sae {uid: $sae, status: 'ready'})
MATCH (m:MotifCount)-[:COUNTED_IN]->(s)
WHERE $min_z IS NULL OR m.z >= $min_z
RETURN m.kind AS kind, m.size AS size, m.count AS count, m.nullMean AS null_mean, m.nullSd AS null_sd, m.z AS z,
       m.rewires AS rewires
ORDER BY z IS NULL, z DESC, kind, size
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
