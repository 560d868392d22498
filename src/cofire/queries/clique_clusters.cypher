// name: clique_clusters
// description: Clusters in which (nearly) all latents co-fire with each other, densest first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_clique_share: float 0..1 = 0.8 - least share of the members in the largest clique; 1 is a perfect clique
// param min_size: integer 4.. = 4 - fewest latents
// param n_tokens: integer 1..1000 = 3 - most tokens shown of each latent in a list of latents
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster: string - uid of the cluster
// returns size: integer - latents in it
// returns structure: string - its structure label
// returns density: float - edges / possible edges
// returns max_clique_share: float - largest clique / size
// returns transitivity: float or null - closed share of the connected triples
// returns members: list<integer> - indices of the members, strongest first
// returns member_tokens: list<list<string>> - for each of them, the tokens most distinctive of it

MATCH (s:Sae {uid: $sae, status: 'ready'})
MATCH (c:Cluster) WHERE c.sae = s.uid AND c.size >= $min_size AND c.maxCliqueShare >= $min_clique_share
MATCH (c)<-[i:IN]-(m:Latent)
WITH c, m, i
ORDER BY c.uid, i.strength DESC, m.index
WITH c, collect(m) AS members
RETURN c.uid AS cluster, c.size AS size, c.structure AS structure, c.density AS density,
       c.maxCliqueShare AS max_clique_share, c.transitivity AS transitivity,
       [m IN members | m.index] AS members,
       [m IN members | coalesce(m.distinctiveTokens, [])[..$n_tokens]] AS member_tokens
ORDER BY density DESC, size DESC, cluster
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
