// name: bridge_latents
// description: The latents of one cluster that co-fire with latents of other clusters, those with the most such links
//   first: the bridges out of the cluster.
// param cluster: string - uid of the cluster (cofire takes its last part, c-..., too, where one SAE alone has it)
// param min_log_odds: float or null = null - leave out links below it; null for no bound
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the latent's index
// returns role: string - its role in the cluster
// returns links: integer - its links into other clusters
// returns clusters: integer - clusters that these reach
// returns inside: integer - its links inside the cluster, of the same strength
// returns partner: integer - the latent at the other end of the strongest link out of the cluster
// returns partner_cluster: string - uid of that latent's cluster
// returns log_odds: float - log_odds of that link
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (c:Cluster {uid: $cluster})
WITH c
MATCH (s:Sae {uid: c.sae, status: 'ready'})
WITH c
MATCH (c)<-[i:IN]-(x:Latent)
MATCH (x)-[r:CO_FIRES]-(y) WHERE $min_log_odds IS NULL OR r.logOdds >= $min_log_odds
WITH c, i, x, r, y
MATCH (y)-[:IN]->(d:Cluster)
// Lists are compared item by item: the strongest link, and of equal ones that of the lowest index.
WITH x.index AS index, i.role AS role, x.distinctiveTokens AS distinctive_tokens, x.topTokens AS top_tokens,
     count(CASE WHEN d.uid <> c.uid THEN 1 END) AS links, count(CASE WHEN d.uid = c.uid THEN 1 END) AS inside,
     count(DISTINCT CASE WHEN d.uid <> c.uid THEN d.uid END) AS clusters,
     max(CASE WHEN d.uid <> c.uid THEN [r.logOdds, -y.index, d.uid] END) AS best
WHERE links > 0
RETURN index, role, links, clusters, inside, -best[1] AS partner, best[2] AS partner_cluster, best[0] AS log_odds,
       distinctive_tokens, top_tokens
ORDER BY links DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
