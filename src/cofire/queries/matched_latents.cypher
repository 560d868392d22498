// name: matched_latents
// description: The pairs of latents of two SAEs that stand for the same feature, best first.
// param sae_a: string - uid of one SAE (RELEASE/SAE_ID)
// param sae_b: string - uid of the other
// param min_score: float or null = null - leave out pairs below it; null for no bound
// param kind: one_to_one|split|merge or null = null - only matches of this kind
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns a: integer - index in the one SAE
// returns b: integer - index in the other
// returns score: float - correlation of their activations on the same tokens
// returns method: string or null - how the score was measured
// returns kind: string or null - one_to_one, split or merge
// returns forward: boolean - it was made from the first to the second, not the reverse
// returns tokens_a: list<string> or null - the tokens most distinctive of a
// returns tokens_b: list<string> or null - the tokens most distinctive of b

MATCH (s:Sae {uid: $sae_a, status: 'ready'})
MATCH (o:Sae {uid: $sae_b, status: 'ready'})
WITH s, o
MATCH (s)<-[:OF]-(x:Latent)
MATCH (x)-[m:MATCHES]-(y:Latent)
WHERE y.sae = o.uid AND ($min_score IS NULL OR m.score >= $min_score) AND ($kind IS NULL OR m.kind = $kind)
WITH x.index AS a, y.index AS b, m.score AS score, m.method AS method, m.kind AS kind, startNode(m) = x AS forward,
     x.distinctiveTokens AS tokens_a, y.distinctiveTokens AS tokens_b
RETURN a, b, score, method, kind, forward, tokens_a, tokens_b
ORDER BY score DESC, a, b, forward
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
