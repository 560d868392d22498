// name: cluster_card
// description: The members of one cluster with their roles and tokens, strongest first.
// param cluster: string - uid of the cluster (cofire takes its last part, c-..., too, where one SAE alone has it)
// returns index: integer - the latent's index
// returns role: string - hub or spoke in a hub_and_spoke cluster, else core or member
// returns strength: float - sum of its positive log_odds to the other members
// returns partners_inside: integer - members that it co-fires with, at positive log_odds
// returns partners: integer - latents that it co-fires with, inside or not
// returns firing_count: integer - tokens on which it fires
// returns frequency: float - firing_count / counted tokens
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (c:Cluster {uid: $cluster})
WITH c
MATCH (s:Sae {uid: c.sae, status: 'ready'})
WITH c
MATCH (c)<-[i:IN]-(m:Latent)
RETURN m.index AS index, i.role AS role, i.strength AS strength,
       COUNT { MATCH (m)-[r:CO_FIRES]-()-[:IN]->(c) WHERE r.logOdds > 0 } AS partners_inside,
       COUNT { (m)-[:CO_FIRES]-() } AS partners, m.firingCount AS firing_count, m.frequency AS frequency,
       m.distinctiveTokens AS distinctive_tokens, m.topTokens AS top_tokens
ORDER BY strength DESC, index
