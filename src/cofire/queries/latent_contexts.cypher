// name: latent_contexts
// description: Examples of the text on which one latent fires, over its whole range of activation.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns rank: integer - 0 for the strongest example
// returns activation: float - the latent's activation on the marked token
// returns u: float or null - the same, aligned: 0 at the threshold, 1 at mu
// returns document: integer - document number
// returns position: integer - token offset within the document
// returns text: string - the token between « and », with the text around it

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[x:SHOWN_BY]->(t:Context)
RETURN x.rank AS rank, x.activation AS activation, x.u AS u, t.document AS document, t.position AS position,
       t.text AS text
ORDER BY rank
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
