// name: most_connected_latents
// description: The latents with the most co-firing partners.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the latent's index
// returns partners: integer - latents that it co-fires with; latents without any are left out
// returns firing_count: integer - tokens on which it fires
// returns frequency: float - firing_count / counted tokens
// returns cluster: string or null - uid of its cluster
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(a:Latent)
WITH a, COUNT { (a)-[:CO_FIRES]-() } AS partners
WHERE partners > 0
OPTIONAL MATCH (a)-[:IN]->(c:Cluster)
WITH a.index AS index, partners, a.firingCount AS firing_count, a.frequency AS frequency, c.uid AS cluster,
     a.distinctiveTokens AS distinctive_tokens, a.topTokens AS top_tokens
RETURN index, partners, firing_count, frequency, cluster, distinctive_tokens, top_tokens
ORDER BY partners DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
