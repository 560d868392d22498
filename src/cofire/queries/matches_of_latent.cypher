// name: matches_of_latent
// description: The latents of other SAEs that stand for the same feature as one latent, best first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns other_sae: string - uid of the other SAE
// returns layer: integer or null - layer that it reads
// returns index: integer - the other latent's index
// returns score: float - correlation of their activations on the same tokens
// returns method: string or null - how the score was measured
// returns kind: string or null - one_to_one, split or merge
// returns forward: boolean - it was made from this latent to the other, not the reverse
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[m:MATCHES]-(b:Latent)
MATCH (b)-[:OF]->(o:Sae {status: 'ready'})
RETURN o.uid AS other_sae, o.layer AS layer, b.index AS index, m.score AS score, m.method AS method, m.kind AS kind,
       startNode(m) = a AS forward, b.distinctiveTokens AS distinctive_tokens, b.topTokens AS top_tokens
ORDER BY score DESC, other_sae, index, forward
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
