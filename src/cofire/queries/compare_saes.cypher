// name: compare_saes
// description: Two SAEs side by side, one row each: how large their parts of the graph are, and on what text.
// param sae_a: string - uid of one SAE (RELEASE/SAE_ID)
// param sae_b: string - uid of the other
// returns sae: string - uid of the SAE
// returns model: string or null - the model that it reads
// returns hook: string or null - hook point
// returns layer: integer or null - layer of the hook point
// returns architecture: string or null - sae-lens architecture
// returns tokens: integer - counted tokens
// returns mean_l0: float or null - latents that fire on a token, on average
// returns latents: integer - latents, dead ones included
// returns dead: integer - latents that never fire
// returns isolated: integer - latents that fire, but have no edge
// returns edges: integer - co-firing pairs
// returns most_partners: integer - largest number of edges of one latent
// returns clusters: integer - clusters of the finest level
// returns clustered: integer - latents in a cluster
// returns largest_cluster: integer - latents in the largest cluster, 0 without clusters

MATCH (a:Sae {uid: $sae_a, status: 'ready'})
MATCH (b:Sae {uid: $sae_b, status: 'ready'})
WITH [a, b] AS both
UNWIND range(0, 1) AS place
WITH place, both[place] AS s
CALL (s) {
  MATCH (s)<-[:OF]-(x:Latent)
  WITH x, COUNT { (x)-[:CO_FIRES]-() } AS partners
  RETURN count(x) AS latents, count(CASE WHEN x.dead THEN 1 END) AS dead, sum(partners) / 2 AS edges,
         count(CASE WHEN NOT x.dead AND partners = 0 THEN 1 END) AS isolated,
         coalesce(max(partners), 0) AS most_partners
}
CALL (s) {
  MATCH (c:Cluster) WHERE c.sae = s.uid AND c.level = 0
  RETURN count(c) AS clusters, coalesce(sum(c.size), 0) AS clustered, coalesce(max(c.size), 0) AS largest_cluster
}
WITH place, s.uid AS sae, s.model AS model, s.hook AS hook, s.layer AS layer, s.architecture AS architecture,
     s.tokens AS tokens, s.meanL0 AS mean_l0, latents, dead, isolated, edges, most_partners, clusters, clustered,
     largest_cluster
ORDER BY place
RETURN sae, model, hook, layer, architecture, tokens, mean_l0, latents, dead, isolated, edges, most_partners,
       clusters, clustered, largest_cluster
ORDER BY place
