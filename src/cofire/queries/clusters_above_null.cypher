// name: clusters_above_null
// description: The clusters of the finest level of one SAE that have more of something than rewired graphs give
//   clusters of their size, furthest above first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param by: density|centralization|strength_centralization|transitivity|core_periphery|max_clique_share|gini
//   = "centralization" - of what
// param min_z: float = 3.0 - least z-score
// param n_tokens: integer 1..1000 = 3 - most tokens shown of each latent in a list of latents
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster: string - uid of the cluster
// returns size: integer - latents in it
// returns structure: string - its structure label
// returns value: float or null - the number itself; null where the cluster has none
// returns z: float - (value - mean of the null clusters) / their standard deviation
// returns members: list<integer> - indices of the members, strongest first
// returns member_tokens: list<list<string>> - for each of them, the tokens most distinctive of it

MATCH (s:Sae {uid: $sae, status: 'ready'})
MATCH (c:Cluster) WHERE c.sae = s.uid AND c.level = 0
WITH c, CASE $by WHEN 'density' THEN c.density WHEN 'centralization' THEN c.centralization
        WHEN 'strength_centralization' THEN c.strengthCentralization WHEN 'transitivity' THEN c.transitivity
        WHEN 'core_periphery' THEN c.corePeriphery WHEN 'max_clique_share' THEN c.maxCliqueShare
        ELSE c.gini END AS value,
     CASE $by WHEN 'density' THEN c.densityZ WHEN 'centralization' THEN c.centralizationZ
        WHEN 'strength_centralization' THEN c.strengthCentralizationZ WHEN 'transitivity' THEN c.transitivityZ
        WHEN 'core_periphery' THEN c.corePeripheryZ WHEN 'max_clique_share' THEN c.maxCliqueShareZ
        ELSE c.giniZ END AS z
WHERE z >= $min_z
MATCH (c)<-[i:IN]-(m:Latent)
WITH c, value, z, m, i
ORDER BY c.uid, i.strength DESC, m.index
WITH c, value, z, collect(m) AS members
RETURN c.uid AS cluster, c.size AS size, c.structure AS structure, value, z,
       [m IN members | m.index] AS members,
       [m IN members | coalesce(m.distinctiveTokens, [])[..$n_tokens]] AS member_tokens
ORDER BY z DESC, size DESC, cluster
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
