// name: cluster_tree
// description: The clusters of one SAE with the clusters that they hold, coarsest first, then the largest.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_size: integer 2.. = 2 - fewest latents
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster: string - uid of the cluster
// returns level: integer - 0 for the finest level
// returns size: integer - latents in it
// returns structure: string - its structure label
// returns parent: string or null - uid of the cluster of the next coarser level that holds it
// returns children: list<string> - uids of the clusters that it holds at the next finer level, largest first
// returns lone_members: integer - latents that are in it and in none of them; for level 0, all its latents

MATCH (s:Sae {uid: $sae, status: 'ready'})
MATCH (c:Cluster) WHERE c.sae = s.uid AND c.size >= $min_size
OPTIONAL MATCH (k:Cluster)-[:PART_OF]->(c)
WITH c, k
ORDER BY c.uid, k.size DESC, k.uid
WITH c, collect(k) AS held
RETURN c.uid AS cluster, c.level AS level, c.size AS size, c.structure AS structure, c.parent AS parent,
       [k IN held | k.uid] AS children,
       c.size - reduce(n = 0, k IN held | n + k.size) AS lone_members
ORDER BY level DESC, size DESC, cluster
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
