// name: densest_clusters
// description: The clusters of one SAE with their numbers, densest first; those too small for a density come last.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param structure: hub_and_spoke|clique|path|core_periphery|mixed|too_small or null = null - only this structure
// param min_size: integer 2.. = 2 - fewest latents
// param n_tokens: integer 1..1000 = 3 - most tokens shown of each latent in a list of latents
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster: string - uid of the cluster
// returns size: integer - latents in it
// returns structure: string - its structure label
// returns density: float or null - edges / possible edges; null below 4 latents, as the next four
// returns centralization: float or null - Freeman degree centralisation
// returns transitivity: float or null - closed share of the connected triples
// returns max_clique_share: float or null - largest clique / size
// returns gini: float or null - Gini coefficient of the members' strengths
// returns edges: integer - co-firing pairs inside, of positive log_odds as for the numbers above
// returns members: list<integer> - indices of the members, strongest first
// returns member_tokens: list<list<string>> - for each of them, the tokens most distinctive of it

MATCH (s:Sae {uid: $sae, status: 'ready'})
MATCH (c:Cluster)
WHERE c.sae = s.uid AND c.size >= $min_size AND ($structure IS NULL OR c.structure = $structure)
MATCH (c)<-[i:IN]-(m:Latent)
WITH c, m, i
ORDER BY c.uid, i.strength DESC, m.index
WITH c, collect(m) AS members
RETURN c.uid AS cluster, c.size AS size, c.structure AS structure, c.density AS density,
       c.centralization AS centralization, c.transitivity AS transitivity, c.maxCliqueShare AS max_clique_share,
       c.gini AS gini,
       COUNT { MATCH (c)<-[:IN]-()-[r:CO_FIRES]->()-[:IN]->(c) WHERE r.logOdds > 0 } AS edges,
       [m IN members | m.index] AS members,
       [m IN members | coalesce(m.distinctiveTokens, [])[..$n_tokens]] AS member_tokens
ORDER BY density IS NULL, density DESC, size DESC, cluster
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
