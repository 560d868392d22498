// name: cluster_neighbours
// description: The clusters that co-firing latents link with one cluster, most links first, with the strongest link of
//   each.
// param cluster: string - uid of the cluster (cofire takes its last part, c-..., too, where one SAE alone has it)
// param min_log_odds: float or null = null - leave out links below it; null for no bound
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns neighbour: string - uid of the other cluster
// returns size: integer - latents in it
// returns structure: string - its structure label
// returns edges: integer - links between the two
// returns inside: integer - the end of the strongest link in the cluster
// returns outside: integer - its end in the other
// returns log_odds: float - log_odds of the strongest link
// returns count: integer - its joint firings

MATCH (c:Cluster {uid: $cluster})
WITH c
MATCH (s:Sae {uid: c.sae, status: 'ready'})
WITH c
MATCH (c)<-[:IN]-(x:Latent)
MATCH (x)-[r:CO_FIRES]-(y) WHERE $min_log_odds IS NULL OR r.logOdds >= $min_log_odds
WITH c, x, r, y
MATCH (y)-[:IN]->(d:Cluster) WHERE d.uid <> c.uid
// Lists are compared item by item: the strongest link, and of equal ones that of the lowest indices.
WITH d, count(*) AS edges, max([r.logOdds, -x.index, -y.index, r.count]) AS best
RETURN d.uid AS neighbour, d.size AS size, d.structure AS structure, edges, -best[1] AS inside, -best[2] AS outside,
       best[0] AS log_odds, best[3] AS count
ORDER BY edges DESC, log_odds DESC, neighbour
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
