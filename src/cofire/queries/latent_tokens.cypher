// name: latent_tokens
// description: The tokens on which one latent fires most often, and those most distinctive of it, the latter
//   first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns token: integer - token id
// returns text: string - the token as text
// returns count: integer - firings of the latent on it
// returns share: float - count / firings of the latent
// returns lift: float or null - share / share of the token among all counted tokens
// returns score: float or null - how distinctive the token is for it (signed G^2)

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[f:FIRES_ON]->(t:Token)
RETURN t.token AS token, t.text AS text, f.count AS count, f.share AS share, f.lift AS lift,
       f.score AS score
ORDER BY score DESC, token
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
