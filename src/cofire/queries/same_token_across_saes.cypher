// name: same_token_across_saes
// description: One token in every SAE: how many latents have it among their most frequent or most distinctive ones, and
//   which is most devoted to it.
// param text: string - the token as text
// param spaced: boolean = true - also find the token with a space before it, as it stands inside a sentence
// returns sae: string - uid of the SAE
// returns layer: integer or null - layer that the SAE reads
// returns latents: integer - latents of the SAE that have the token
// returns index: integer - the one with the largest share
// returns text: string - the token as text
// returns share: float - its firings on the token / all its firings
// returns count: integer - its firings on the token
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

UNWIND CASE WHEN $spaced THEN [$text, ' ' + $text] ELSE [$text] END AS wanted
MATCH (t:Token {text: wanted})
WITH t
MATCH (t)<-[f:FIRES_ON]-(a:Latent)-[:OF]->(s:Sae {status: 'ready'})
WITH s, a, t, f
ORDER BY f.share DESC, f.count DESC, a.index, t.token
WITH s, count(DISTINCT a) AS latents, collect(a)[0] AS a, collect(t)[0] AS t, collect(f)[0] AS f
RETURN s.uid AS sae, s.layer AS layer, latents, a.index AS index, t.text AS text, f.share AS share, f.count AS count,
       a.distinctiveTokens AS distinctive_tokens, a.topTokens AS top_tokens
ORDER BY sae
