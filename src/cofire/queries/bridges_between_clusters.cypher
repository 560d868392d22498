// name: bridges_between_clusters
// description: Pairs of clusters that co-firing latents link, most links first, with the strongest link of each.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_log_odds: float = 0.0 - leave out links below it
// param min_edges: integer 1.. = 1 - fewest links of a pair
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster_a: string - uid of one cluster, the lesser in text order
// returns cluster_b: string - uid of the other
// returns edges: integer - links between the two
// returns a: integer - the end of the strongest link in cluster_a
// returns b: integer - its end in cluster_b
// returns log_odds: float - log_odds of the strongest link
// returns count: integer - its joint firings
// returns tokens_a: list<string> or null - the tokens that a fires on most often
// returns tokens_b: list<string> or null - the tokens that b fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(x:Latent)
MATCH (x)-[:IN]->(cx:Cluster)
MATCH (x)-[r:CO_FIRES]->(y:Latent) WHERE r.logOdds >= $min_log_odds
MATCH (y)-[:IN]->(cy:Cluster) WHERE cy.uid <> cx.uid
WITH r, cx.uid < cy.uid AS straight, x, y, cx, cy
WITH r, CASE WHEN straight THEN cx.uid ELSE cy.uid END AS cluster_a,
     CASE WHEN straight THEN cy.uid ELSE cx.uid END AS cluster_b,
     CASE WHEN straight THEN x ELSE y END AS a, CASE WHEN straight THEN y ELSE x END AS b
ORDER BY r.logOdds DESC, a.index, b.index
WITH cluster_a, cluster_b, count(r) AS edges, collect(r)[0] AS r, collect(a)[0] AS a, collect(b)[0] AS b
WHERE edges >= $min_edges
RETURN cluster_a, cluster_b, edges, a.index AS a, b.index AS b, r.logOdds AS log_odds, r.count AS count,
       a.topTokens AS tokens_a, b.topTokens AS tokens_b
ORDER BY edges DESC, log_odds DESC, cluster_a, cluster_b
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
