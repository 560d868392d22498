// name: hub_and_spoke_clusters
// description: Clusters built around one latent, most centralised first, with the tokens of the hub and its spokes.
//   The hub is the latent with the most partners inside the cluster (of positive log_odds).
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_centralization: float 0..1 = 0.8 - least Freeman degree centralisation; 1 is a perfect star
// param min_size: integer 4.. = 4 - fewest latents
// param n_tokens: integer 1..1000 = 3 - most tokens shown of each latent in a list of latents
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster: string - uid of the cluster
// returns size: integer - latents in it
// returns structure: string - its structure label
// returns centralization: float - Freeman degree centralisation
// returns density: float - edges / possible edges
// returns hub: integer - index of the hub
// returns hub_tokens: list<string> or null - the tokens most distinctive of the hub
// returns spokes: list<integer> - indices of the other members, strongest first
// returns spoke_tokens: list<list<string>> - for each of them, the tokens most distinctive of it

MATCH (s:Sae {uid: $sae, status: 'ready'})
MATCH (c:Cluster) WHERE c.sae = s.uid AND c.size >= $min_size AND c.centralization >= $min_centralization
MATCH (c)<-[i:IN]-(m:Latent)
WITH c, m, i, COUNT { MATCH (m)-[r:CO_FIRES]-()-[:IN]->(c) WHERE r.logOdds > 0 } AS partners
ORDER BY c.uid, partners DESC, i.strength DESC, m.index
WITH c, collect(m) AS members
RETURN c.uid AS cluster, c.size AS size, c.structure AS structure, c.centralization AS centralization,
       c.density AS density, members[0].index AS hub, members[0].distinctiveTokens AS hub_tokens,
       [m IN members[1..] | m.index] AS spokes,
       [m IN members[1..] | coalesce(m.distinctiveTokens, [])[..$n_tokens]] AS spoke_tokens
ORDER BY centralization DESC, size DESC, cluster
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
