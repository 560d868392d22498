// name: hub_overlap
// description: How much the partners of two latents overlap: one row, without the two themselves; none where both are
//   the same latent.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param a: integer 0.. - one latent's index
// param b: integer 0.. - the other's
// param min_log_odds: float or null = null - pairs below it do not count as co-firing; null for no bound
// returns partners_a: integer - latents other than b that co-fire with a
// returns partners_b: integer - latents other than a that co-fire with b
// returns shared: integer - latents that co-fire with both
// returns own_a: integer - partners of a alone
// returns own_b: integer - partners of b alone
// returns jaccard: float or null - shared / partners of either; null where neither has any
// returns overlap: float or null - shared / the lesser number of partners; null where one has none
// returns joined: boolean - the two co-fire with each other
// returns tokens_a: list<string> or null - the tokens most distinctive of a
// returns tokens_b: list<string> or null - the tokens most distinctive of b

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($a) AS uid_a, s.uid + '/' + toString($b) AS uid_b
MATCH (a:Latent {uid: uid_a})
MATCH (b:Latent {uid: uid_b})
WITH a, b WHERE a.uid <> b.uid
CALL (a, b) {
  UNWIND [a, b] AS latent
  MATCH (latent)-[r:CO_FIRES]-(x) WHERE $min_log_odds IS NULL OR r.logOdds >= $min_log_odds
  WITH x.index AS x, count(CASE WHEN latent.index = $a THEN 1 END) AS to_a,
       count(CASE WHEN latent.index = $b THEN 1 END) AS to_b
  RETURN sum(CASE WHEN x <> $b THEN to_a ELSE 0 END) AS partners_a,
         sum(CASE WHEN x <> $a THEN to_b ELSE 0 END) AS partners_b,
         sum(to_a * to_b) AS shared, sum(CASE WHEN x = $b THEN to_a ELSE 0 END) > 0 AS joined
}
WITH a, b, partners_a, partners_b, shared, joined,
     CASE WHEN partners_a < partners_b THEN partners_a ELSE partners_b END AS lesser
RETURN partners_a, partners_b, shared, partners_a - shared AS own_a, partners_b - shared AS own_b,
       CASE WHEN partners_a + partners_b > 0 THEN toFloat(shared) / (partners_a + partners_b - shared) END AS jaccard,
       CASE WHEN lesser > 0 THEN toFloat(shared) / lesser END AS overlap, joined,
       a.distinctiveTokens AS tokens_a, b.distinctiveTokens AS tokens_b
