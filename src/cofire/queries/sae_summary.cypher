// name: sae_summary
// description: How large one SAE's part of the graph is: latents, edges, clusters and their structures.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// returns latents: integer - latents, dead ones included
// returns dead: integer - latents that never fire
// returns isolated: integer - latents that fire, but have no edge
// returns clustered: integer - latents in a cluster
// returns edges: integer - co-firing pairs
// returns most_partners: integer - largest number of edges of one latent
// returns clusters: integer - clusters of the finest level, as in all that follows
// returns largest_cluster: integer - latents in the largest cluster, 0 without clusters
// returns hub_and_spoke: integer - clusters of this structure
// returns clique: integer - clusters of this structure
// returns path: integer - clusters of this structure
// returns core_periphery: integer - clusters of this structure
// returns mixed: integer - clusters of this structure
// returns too_small: integer - clusters of two or three latents
// returns tokens: integer - counted tokens
// returns documents: integer or null - documents that they come from
// returns firings: integer or null - firings over all latents and tokens
// returns mean_l0: float or null - latents that fire on a token, on average

MATCH (s:Sae {uid: $sae, status: 'ready'})
CALL (s) {
  MATCH (s)<-[:OF]-(a:Latent)
  WITH a, COUNT { (a)-[:CO_FIRES]-() } AS partners, COUNT { (a)-[:IN]->(:Cluster) } AS groups
  RETURN count(a) AS latents, count(CASE WHEN a.dead THEN 1 END) AS dead, sum(partners) / 2 AS edges,
         count(CASE WHEN NOT a.dead AND partners = 0 THEN 1 END) AS isolated,
         count(CASE WHEN groups > 0 THEN 1 END) AS clustered, coalesce(max(partners), 0) AS most_partners
}
CALL (s) {
  MATCH (c:Cluster) WHERE c.sae = s.uid AND c.level = 0
  RETURN count(c) AS clusters, coalesce(max(c.size), 0) AS largest_cluster,
         count(CASE c.structure WHEN 'hub_and_spoke' THEN 1 END) AS hub_and_spoke,
         count(CASE c.structure WHEN 'clique' THEN 1 END) AS clique,
         count(CASE c.structure WHEN 'path' THEN 1 END) AS path,
         count(CASE c.structure WHEN 'core_periphery' THEN 1 END) AS core_periphery,
         count(CASE c.structure WHEN 'mixed' THEN 1 END) AS mixed,
         count(CASE c.structure WHEN 'too_small' THEN 1 END) AS too_small
}
RETURN latents, dead, isolated, clustered, edges, most_partners, clusters, largest_cluster,
       hub_and_spoke, clique, path, core_periphery, mixed, too_small,
       s.tokens AS tokens, s.documents AS documents, s.firings AS firings, s.meanL0 AS mean_l0
