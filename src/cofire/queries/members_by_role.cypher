// name: members_by_role
// description: The latents that have one role in their cluster, such as all hubs of an SAE, strongest first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param role: hub|spoke|core|member = "hub" - the role
// param min_size: integer 2.. = 2 - fewest latents of the cluster
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the latent's index
// returns cluster: string - uid of its cluster
// returns strength: float - sum of its positive log_odds to the other members
// returns size: integer - latents in the cluster
// returns structure: string - the cluster's structure
// returns partners: integer - latents that it co-fires with, in the cluster or not
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
MATCH (c:Cluster) WHERE c.sae = s.uid AND c.size >= $min_size
MATCH (c)<-[i:IN]-(m:Latent) WHERE i.role = $role
WITH m.index AS index, c.uid AS cluster, i.strength AS strength, c.size AS size, c.structure AS structure,
     COUNT { (m)-[:CO_FIRES]-() } AS partners, m.distinctiveTokens AS distinctive_tokens, m.topTokens AS top_tokens
RETURN index, cluster, strength, size, structure, partners, distinctive_tokens, top_tokens
ORDER BY strength DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
