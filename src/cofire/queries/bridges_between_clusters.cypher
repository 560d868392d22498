// name: bridges_between_clusters
// description: Pairs of clusters that co-firing latents link, most links first, with the strongest link of each.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_log_odds: float or null = null - leave out links below it; null for no bound
// param min_edges: integer 1.. = 1 - fewest links of a pair
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster_a: string - uid of one cluster, the lesser in text order
// returns cluster_b: string - uid of the other
// returns edges: integer - links between the two
// returns a: integer - the end of the strongest link in cluster_a
// returns b: integer - its end in cluster_b
// returns log_odds: float - log_odds of the strongest link
// returns count: integer - its joint firings
// returns tokens_a: list<string> or null - the tokens most distinctive of a
// returns tokens_b: list<string> or null - the tokens most distinctive of b

MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(x:Latent)
MATCH (x)-[:IN]->(cx:Cluster)
WITH x, cx
MATCH (x)-[r:CO_FIRES]->(y) WHERE $min_log_odds IS NULL OR r.logOdds >= $min_log_odds
WITH x, cx, r, y
MATCH (y)-[:IN]->(cy:Cluster) WHERE cy.uid <> cx.uid
WITH x, cx, r, y, cy, cx.uid < cy.uid AS straight
WITH CASE WHEN straight THEN cx.uid ELSE cy.uid END AS cluster_a,
     CASE WHEN straight THEN cy.uid ELSE cx.uid END AS cluster_b,
     // Lists are compared item by item: the strongest link, and of equal ones that of the lowest indices.
     CASE WHEN straight THEN [r.logOdds, -x.index, -y.index, r.count] ELSE [r.logOdds, -y.index, -x.index, r.count] END
       AS link
WITH cluster_a, cluster_b, count(*) AS edges, max(link) AS best
WHERE edges >= $min_edges
WITH cluster_a, cluster_b, edges, best[0] AS log_odds, -best[1] AS a, -best[2] AS b, best[3] AS count
ORDER BY edges DESC, log_odds DESC, cluster_a, cluster_b
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
WITH cluster_a, cluster_b, edges, a, b, log_odds, count,
     $sae + '/' + toString(a) AS uid_a, $sae + '/' + toString(b) AS uid_b
MATCH (m:Latent {uid: uid_a})
MATCH (n:Latent {uid: uid_b})
RETURN cluster_a, cluster_b, edges, a, b, log_odds, count, m.distinctiveTokens AS tokens_a,
       n.distinctiveTokens AS tokens_b
ORDER BY edges DESC, log_odds DESC, cluster_a, cluster_b
