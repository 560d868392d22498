// name: contexts_with_text
// description: The examples of one SAE whose text contains a phrase, by latent. The firing token stands between «
//   and »; so these two signs do not count, neither in the text nor in the phrase. Capital and small letters are told
//   apart.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param phrase: string - what the text contains
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns index: integer - the latent's index
// returns rank: integer - 0 for the latent's strongest example
// returns activation: float - the latent's activation on the marked token
// returns u: float or null - the same, aligned: 0 at the threshold, 1 at mu
// returns document: integer - document number
// returns position: integer - token offset within the document
// returns text: string - the token between « and », with the text around it

MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(a:Latent)
MATCH (a)-[x:SHOWN_BY]->(t:Context)
WHERE replace(replace(t.text, '«', ''), '»', '') CONTAINS replace(replace($phrase, '«', ''), '»', '')
WITH a.index AS index, x.rank AS rank, x.activation AS activation, x.u AS u, t.document AS document,
     t.position AS position, t.text AS text
RETURN index, rank, activation, u, document, position, text
ORDER BY index, rank
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
