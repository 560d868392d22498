// name: clusters_by_function
// description: The clusters of the finest level of one function (what their members do on the tokens that they
//   share, told without any edge), the most probable first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param function: composition|ambiguity|hierarchy = "composition" - the function
// param min_p: float 0..1 = 0.5 - least probability of it
// param min_size: integer 2.. = 2 - fewest latents
// param n_tokens: integer 1..1000 = 3 - most tokens shown of each latent in a list of latents
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster: string - uid of the cluster
// returns size: integer - latents in it
// returns p: float - probability of the function
// returns function: string or null - its label; unclear where no function is probable enough
// returns structure: string - its structure label
// returns members: list<integer> - indices of the members, strongest first
// returns member_tokens: list<list<string>> - for each of them, the tokens most distinctive of it

MATCH (s:Sae {uid: $sae, status: 'ready'})
MATCH (c:Cluster) WHERE c.sae = s.uid AND c.level = 0 AND c.size >= $min_size
WITH c, CASE $function WHEN 'composition' THEN c.pComposition WHEN 'ambiguity' THEN c.pAmbiguity
        ELSE c.pHierarchy END AS p
WHERE p >= $min_p
MATCH (c)<-[i:IN]-(m:Latent)
WITH c, p, m, i
ORDER BY c.uid, i.strength DESC, m.index
WITH c, p, collect(m) AS members
RETURN c.uid AS cluster, c.size AS size, p, c.function AS function, c.structure AS structure,
       [m IN members | m.index] AS members,
       [m IN members | coalesce(m.distinctiveTokens, [])[..$n_tokens]] AS member_tokens
ORDER BY p DESC, size DESC, cluster
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
