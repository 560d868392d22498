// name: mirrored_clusters
// description: The pairs of clusters of two SAEs that are the same, best first.
// param sae_a: string - uid of one SAE (RELEASE/SAE_ID)
// param sae_b: string - uid of the other
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns cluster_a: string - uid of the one SAE's cluster
// returns cluster_b: string - uid of the other's
// returns score: float - weighted Jaccard of the matched members
// returns p: float or null - p-value against the null
// returns q: float or null - the same, Benjamini-Hochberg over clusters
// returns hub_change: boolean or null - the hubs do not match
// returns function_change: boolean or null - the function labels differ
// returns forward: boolean - it was made from the first to the second, not the reverse
// returns size_a: integer - latents in cluster_a
// returns size_b: integer - latents in cluster_b

MATCH (s:Sae {uid: $sae_a, status: 'ready'})
MATCH (o:Sae {uid: $sae_b, status: 'ready'})
WITH s, o
MATCH (c:Cluster) WHERE c.sae = s.uid
MATCH (c)-[m:MIRRORS]-(d:Cluster) WHERE d.sae = o.uid
RETURN c.uid AS cluster_a, d.uid AS cluster_b, m.score AS score, m.p AS p, m.q AS q, m.hubChange AS hub_change,
       m.functionChange AS function_change, startNode(m) = c AS forward, c.size AS size_a, d.size AS size_b
ORDER BY score DESC, cluster_a, cluster_b, forward
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
