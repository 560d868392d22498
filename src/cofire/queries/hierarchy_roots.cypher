// name: hierarchy_roots
// description: The latents whose feature contains those of others and is contained in none, most children first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_p: float 0..1 = 0.5 - parents and children of a lesser probability do not count
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the latent's index
// returns children: integer - latents whose feature it contains
// returns firing_count: integer - tokens on which it fires
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(a:Latent)
MATCH (a)-[r:PARENT_OF]->(:Latent) WHERE r.p >= $min_p
WITH a, count(r) AS children
WHERE NOT EXISTS { MATCH (:Latent)-[q:PARENT_OF]->(a) WHERE q.p >= $min_p }
WITH a.index AS index, children, a.firingCount AS firing_count, a.distinctiveTokens AS distinctive_tokens,
     a.topTokens AS top_tokens
RETURN index, children, firing_count, distinctive_tokens, top_tokens
ORDER BY children DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
