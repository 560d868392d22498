// name: path_between_latents
// description: How two latents are linked: the shortest chain of co-firing latents, one row a latent. Of several
//   shortest chains, the one whose weakest edge is strongest; no row where no chain is short enough or both
//   are the same latent.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param a: integer 0.. - the latent at which the chain starts
// param b: integer 0.. - the latent at which it ends
// param max_steps: integer 1..6 = 4 - most edges of the chain
// returns step: integer - 0 at the start
// returns index: integer - the latent's index
// returns log_odds: float or null - log_odds with the latent one step before; null at the start
// returns count: integer or null - tokens on which the two fire; null at the start
// returns cluster: string or null - uid of the latent's cluster
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($a) AS uid_a, s.uid + '/' + toString($b) AS uid_b
MATCH (a:Latent {uid: uid_a})
MATCH (b:Latent {uid: uid_b})
WITH a, b WHERE a.uid <> b.uid
MATCH p = allShortestPaths((a)-[:CO_FIRES*1..6]-(b))
WITH p WHERE length(p) <= $max_steps
WITH p, [n IN nodes(p) | n.index] AS indices,
     reduce(w = head(relationships(p)).logOdds, r IN relationships(p) |
            CASE WHEN r.logOdds < w THEN r.logOdds ELSE w END) AS weakest
ORDER BY weakest DESC, indices
LIMIT 1
UNWIND range(0, length(p)) AS step
WITH step, nodes(p)[step] AS n, CASE WHEN step > 0 THEN relationships(p)[step - 1] END AS r
OPTIONAL MATCH (n)-[:IN]->(c:Cluster)
RETURN step, n.index AS index, r.logOdds AS log_odds, r.count AS count, c.uid AS cluster,
       n.distinctiveTokens AS distinctive_tokens, n.topTokens AS top_tokens
ORDER BY step
