// name: cluster_mates
// description: The other latents of one latent's cluster, strongest first, with their edges to it.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the other latent's index
// returns cluster: string - uid of the cluster
// returns role: string - the other latent's role there: hub, spoke, core or member
// returns strength: float - sum of its positive log_odds to the other members
// returns log_odds: float or null - log_odds of its edge to the latent; null where they do not co-fire
// returns count: integer or null - tokens on which the two fire; null where they do not co-fire
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[:IN]->(c:Cluster)
WITH a, c
MATCH (c)<-[i:IN]-(m:Latent) WHERE m.uid <> a.uid
OPTIONAL MATCH (a)-[r:CO_FIRES]-(m)
RETURN m.index AS index, c.uid AS cluster, i.role AS role, i.strength AS strength, r.logOdds AS log_odds,
       r.count AS count, m.distinctiveTokens AS distinctive_tokens, m.topTokens AS top_tokens
ORDER BY strength DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
