// name: common_neighbours
// description: The latents that co-fire with both of two latents, whether or not the two co-fire themselves; none
//   where both are the same latent.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param a: integer 0.. - one latent's index
// param b: integer 0.. - the other's
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the neighbour's index
// returns weaker_log_odds: float - the lesser log_odds of its two edges
// returns log_odds_a: float - log_odds with a
// returns log_odds_b: float - log_odds with b
// returns count_a: integer - tokens on which it fires with a
// returns count_b: integer - tokens on which it fires with b
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($a) AS uid_a, s.uid + '/' + toString($b) AS uid_b
MATCH (a:Latent {uid: uid_a})
MATCH (b:Latent {uid: uid_b})
WITH a, b WHERE a.uid <> b.uid
// The partners of both, put together by latent: to go on from each partner of a would visit all of theirs.
UNWIND [a, b] AS latent
MATCH (latent)-[r:CO_FIRES]-(c)
WITH c.index AS index, count(*) AS ends, max(CASE WHEN latent.index = $a THEN r.logOdds END) AS log_odds_a,
     max(CASE WHEN latent.index = $b THEN r.logOdds END) AS log_odds_b,
     max(CASE WHEN latent.index = $a THEN r.count END) AS count_a,
     max(CASE WHEN latent.index = $b THEN r.count END) AS count_b
WHERE ends = 2
WITH index, CASE WHEN log_odds_a <= log_odds_b THEN log_odds_a ELSE log_odds_b END AS weaker_log_odds,
     log_odds_a, log_odds_b, count_a, count_b
ORDER BY weaker_log_odds DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
WITH index, weaker_log_odds, log_odds_a, log_odds_b, count_a, count_b, $sae + '/' + toString(index) AS uid
MATCH (c:Latent {uid: uid})
RETURN index, weaker_log_odds, log_odds_a, log_odds_b, count_a, count_b, c.distinctiveTokens AS distinctive_tokens,
       c.topTokens AS top_tokens
ORDER BY weaker_log_odds DESC, index
