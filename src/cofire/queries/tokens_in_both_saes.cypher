// name: tokens_in_both_saes
// description: The most frequent and most distinctive tokens of latents that both SAEs have, those to which both have
//   a devoted latent first. None where their vocabularies are not the same, or where one of them was loaded before
//   schema 5 and not loaded anew since (`cofire ingest --replace`).
// param sae_a: string - uid of one SAE (RELEASE/SAE_ID)
// param sae_b: string - uid of the other
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns token: integer - token id
// returns text: string - the token as text
// returns latents_a: integer - latents of the one SAE that have it among theirs
// returns latents_b: integer - the same of the other SAE
// returns a: integer - the latent of the one SAE with the largest share
// returns b: integer - the same of the other SAE
// returns share_a: float - firings of a on the token / all its firings
// returns share_b: float - firings of b on the token / all its firings
// returns lesser_share: float - the lesser of the two

MATCH (s:Sae {uid: $sae_a, status: 'ready'})
MATCH (o:Sae {uid: $sae_b, status: 'ready'})
WITH s, o
MATCH (s)<-[:OF]-(x:Latent)
MATCH (x)-[f:FIRES_ON]->(t:Token)
// Lists are compared item by item: the largest share, and of equal ones that of the lowest index.
WITH o, t, count(*) AS latents_a, max([f.share, -x.index]) AS best_a
MATCH (t)<-[g:FIRES_ON]-(y:Latent) WHERE y.sae = o.uid
WITH t.token AS token, t.text AS text, latents_a, best_a, count(*) AS latents_b, max([g.share, -y.index]) AS best_b
RETURN token, text, latents_a, latents_b, -best_a[1] AS a, -best_b[1] AS b, best_a[0] AS share_a, best_b[0] AS share_b,
       CASE WHEN best_a[0] <= best_b[0] THEN best_a[0] ELSE best_b[0] END AS lesser_share
ORDER BY lesser_share DESC, token
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
