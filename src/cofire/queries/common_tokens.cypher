// name: common_tokens
// description: The tokens that two latents share, among the most frequent and most distinctive ones of each; none
//   where both are the same latent.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param a: integer 0.. - one latent's index
// param b: integer 0.. - the other's
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns token: integer - token id
// returns text: string - the token as text
// returns count_a: integer - firings of a on it
// returns count_b: integer - firings of b on it
// returns share_a: float - count_a / firings of a
// returns share_b: float - count_b / firings of b
// returns lesser_share: float - the lesser of the two shares

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($a) AS uid_a, s.uid + '/' + toString($b) AS uid_b
MATCH (a:Latent {uid: uid_a})
MATCH (b:Latent {uid: uid_b})
WITH a, b
MATCH (a)-[x:FIRES_ON]->(t:Token)<-[y:FIRES_ON]-(b)
RETURN t.token AS token, t.text AS text, x.count AS count_a, y.count AS count_b, x.share AS share_a,
       y.share AS share_b, CASE WHEN x.share <= y.share THEN x.share ELSE y.share END AS lesser_share
ORDER BY lesser_share DESC, token
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
