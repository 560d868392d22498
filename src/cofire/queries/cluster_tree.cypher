// name: cluster_tree
// description: The clusters of one SAE with the clusters that they hold, coarsest first, then the largest.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_size: integer 2.. = 2 - fewest latents
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster: string - uid of the cluster
// returns level: integer - 0 for the finest level
// returns size: integer - latents in it
// returns structure: string - its structure label
// returns parent: string or null - uid of the cluster that holds it at the next coarser level where it grows
// returns children: list<string> - uids of the clusters whose parent it is, largest first
// returns lone_members: integer - its latents that are in none of them: all at level 0, else usually 0

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
