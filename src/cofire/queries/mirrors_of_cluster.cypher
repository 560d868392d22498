// name: mirrors_of_cluster
// description: The clusters of other SAEs that are the same as one cluster, best first.
// param cluster: string - uid of the cluster (cofire takes its last part, c-..., too, where one SAE alone has it)
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns other_sae: string - uid of the other SAE
// returns layer: integer or null - layer that it reads
// returns mirror: string - uid of the other cluster
// returns score: float - weighted Jaccard of the matched members
// returns p: float or null - p-value against the null
// returns q: float or null - the same, Benjamini-Hochberg over clusters
// returns hub_change: boolean or null - the hubs do not match
// returns function_change: boolean or null - the function labels differ
// returns forward: boolean - it was made from this cluster to the other, not the reverse
// returns size: integer - latents in it
// returns structure: string - its structure label

MATCH (c:Cluster {uid: $cluster})
WITH c
MATCH (s:Sae {uid: c.sae, status: 'ready'})
WITH c
MATCH (c)-[m:MIRRORS]-(d:Cluster)
WITH c, m, d
MATCH (o:Sae {uid: d.sae, status: 'ready'})
RETURN o.uid AS other_sae, o.layer AS layer, d.uid AS mirror, m.score AS score, m.p AS p, m.q AS q,
       m.hubChange AS hub_change, m.functionChange AS function_change, startNode(m) = c AS forward, d.size AS size,
       d.structure AS structure
ORDER BY score DESC, other_sae, mirror, forward
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
