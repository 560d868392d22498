// name: latents_by_token
// description: The latents of all SAEs that have a token among their most frequent or most distinctive ones, most
//   devoted to it first.
// param text: string - the token as text
// param spaced: boolean = true - also find the token with a space before it, as it stands inside a sentence
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns sae: string - uid of the SAE
// returns layer: integer or null - layer that the SAE reads
// returns index: integer - the latent's index
// returns token: integer - token id
// returns text: string - the token as text
// returns count: integer - firings of the latent on it
// returns share: float - count / firings of the latent
// returns lift: float or null - share / share of the token among all counted tokens
// returns score: float or null - how distinctive the token is for it (signed G^2)
// returns firing_count: integer - tokens on which the latent fires
// returns cluster: string or null - uid of its cluster
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

UNWIND CASE WHEN $spaced THEN [$text, ' ' + $text] ELSE [$text] END AS wanted
MATCH (t:Token {text: wanted})
WITH t
MATCH (t)<-[f:FIRES_ON]-(a:Latent)-[:OF]->(s:Sae {status: 'ready'})
OPTIONAL MATCH (a)-[:IN]->(c:Cluster)
RETURN s.uid AS sae, s.layer AS layer, a.index AS index, t.token AS token, t.text AS text,
       f.count AS count, f.share AS share, f.lift AS lift, f.score AS score, a.firingCount AS firing_count,
       c.uid AS cluster, a.distinctiveTokens AS distinctive_tokens, a.topTokens AS top_tokens
ORDER BY share DESC, count DESC, sae, index, token
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
