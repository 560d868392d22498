// name: nearest_decoders
// description: The latents of the same SAE whose decoder directions are nearest to that of one latent, by cosine; none
//   where the store holds no decoder directions. On Neo4j an approximate index proposes the candidates, so that one may
//   be missed; the cosines are exact.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 1..1000 = 10 - at most so many rows
// returns index: integer - the other latent's index
// returns cosine: float - cosine of the two decoder directions
// returns log_odds: float or null - log_odds of the two; null where they do not co-fire
// returns cluster: string or null - uid of the other latent's cluster
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

// only: neo4j
MATCH (n:Latent)
WITH count(n) AS every
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s, s.uid + '/' + toString($index) AS uid, every
MATCH (a:Latent {uid: uid}) WHERE a.decoder IS NOT NULL
// The index holds the latents of all SAEs: the more of them are others', the more are asked for.
WITH a, every, ((4 * $limit + 200) * every + s.nLatents - 1) / s.nLatents AS wanted
CALL db.index.vector.queryNodes('latent_decoder', CASE WHEN wanted < every THEN wanted ELSE every END, a.decoder)
YIELD node AS b, score
WITH a, b, score WHERE b.sae = a.sae AND b.index <> a.index
WITH a, b ORDER BY score DESC, b.index LIMIT 2 * $limit + 30
WITH a, b, reduce(dot = 0.0, i IN range(0, size(a.decoder) - 1) | dot + a.decoder[i] * b.decoder[i]) AS cosine
OPTIONAL MATCH (a)-[r:CO_FIRES]-(b)
OPTIONAL MATCH (b)-[:IN]->(c:Cluster)
RETURN b.index AS index, cosine, r.logOdds AS log_odds, c.uid AS cluster, b.distinctiveTokens AS distinctive_tokens,
       b.topTokens AS top_tokens
ORDER BY cosine DESC, index
LIMIT $limit

// only: embedded
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s, s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid}) WHERE a.decoder IS NOT NULL
WITH s, a
MATCH (s)<-[:OF]-(b:Latent) WHERE b.index <> a.index AND b.decoder IS NOT NULL
WITH a, b.uid AS near, vector.similarity.cosine(a.decoder, b.decoder) AS score, b.index AS place
ORDER BY score DESC, place LIMIT 2 * $limit + 30
WITH a, near
MATCH (b:Latent {uid: near})
WITH a, b, reduce(dot = 0.0, i IN range(0, size(a.decoder) - 1) | dot + a.decoder[i] * b.decoder[i]) AS cosine
OPTIONAL MATCH (a)-[r:CO_FIRES]-(b)
OPTIONAL MATCH (b)-[:IN]->(c:Cluster)
RETURN b.index AS index, cosine, r.logOdds AS log_odds, c.uid AS cluster, b.distinctiveTokens AS distinctive_tokens,
       b.topTokens AS top_tokens
ORDER BY cosine DESC, index
LIMIT $limit
