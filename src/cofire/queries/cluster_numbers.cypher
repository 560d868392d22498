// name: cluster_numbers
// description: Everything that is known of one cluster: its level, structure and function. A z compares the number
//   before it with null clusters of equal size, from the SAE's graph rewired and clustered again.
// param cluster: string - uid of the cluster (cofire takes its last part, c-..., too, where one SAE alone has it)
// returns size: integer - latents in it
// returns level: integer - 0 for the finest level; higher is coarser
// returns parent: string or null - uid of the cluster that holds it at the next coarser level where it grows
// returns resolution: float - resolution of its level
// returns stability: float or null - mean overlap (Jaccard) with its best match in each run of its plateau
// returns structure: string - its structure label
// returns structure_p: float or null - probability of it
// returns density: float or null - edges / possible edges
// returns density_z: float or null - the same against null clusters
// returns centralization: float or null - Freeman degree centralisation
// returns centralization_z: float or null - the same against null clusters
// returns strength_centralization: float or null - the same of strengths
// returns strength_centralization_z: float or null - the same against null clusters
// returns transitivity: float or null - closed share of the connected triples
// returns transitivity_z: float or null - the same against null clusters
// returns core_periphery: float or null - core-periphery correlation with a core of one latent
// returns core_periphery_z: float or null - the same against null clusters
// returns max_clique_share: float or null - largest clique / size
// returns max_clique_share_z: float or null - the same against null clusters
// returns gini: float or null - Gini coefficient of the members' strengths
// returns gini_z: float or null - the same against null clusters
// returns function: string or null - composition, ambiguity, hierarchy or unclear; null where it was not asked
// returns p_composition: float or null - probability that the members compose
// returns p_ambiguity: float or null - probability that they share one token's weight
// returns p_hierarchy: float or null - probability that one contains the others

MATCH (c:Cluster {uid: $cluster})
WITH c
MATCH (s:Sae {uid: c.sae, status: 'ready'})
RETURN c.size AS size, c.level AS level, c.parent AS parent, c.resolution AS resolution, c.stability AS stability,
       c.structure AS structure, c.structureP AS structure_p, c.density AS density, c.densityZ AS density_z,
       c.centralization AS centralization, c.centralizationZ AS centralization_z,
       c.strengthCentralization AS strength_centralization, c.strengthCentralizationZ AS strength_centralization_z,
       c.transitivity AS transitivity, c.transitivityZ AS transitivity_z,
       c.corePeriphery AS core_periphery, c.corePeripheryZ AS core_periphery_z,
       c.maxCliqueShare AS max_clique_share, c.maxCliqueShareZ AS max_clique_share_z,
       c.gini AS gini, c.giniZ AS gini_z, c.function AS function,
       c.pComposition AS p_composition, c.pAmbiguity AS p_ambiguity, c.pHierarchy AS p_hierarchy
