// name: children_of_latent
// description: The latents whose feature that of one latent contains, most probable first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the child's index
// returns p: float - probability
// returns evidence: string or null - what it rests on
// returns firing_count: integer - tokens on which the child fires
// returns cluster: string or null - uid of its cluster
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[r:PARENT_OF]->(b:Latent)
OPTIONAL MATCH (b)-[:IN]->(c:Cluster)
RETURN b.index AS index, r.p AS p, r.evidence AS evidence, b.firingCount AS firing_count, c.uid AS cluster,
       b.distinctiveTokens AS distinctive_tokens, b.topTokens AS top_tokens
ORDER BY p DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
