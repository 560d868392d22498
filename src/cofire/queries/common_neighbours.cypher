// name: common_neighbours
// description: The latents that co-fire with both of two latents, whether or not the two co-fire themselves.
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
// returns top_tokens: list<string> or null - the tokens that it fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($a) AS uid_a, s.uid + '/' + toString($b) AS uid_b
MATCH (a:Latent {uid: uid_a})
MATCH (b:Latent {uid: uid_b})
WITH a, b
MATCH (a)-[x:CO_FIRES]-(c:Latent)-[y:CO_FIRES]-(b)
RETURN c.index AS index, CASE WHEN x.logOdds <= y.logOdds THEN x.logOdds ELSE y.logOdds END AS weaker_log_odds,
       x.logOdds AS log_odds_a, y.logOdds AS log_odds_b, x.count AS count_a, y.count AS count_b,
       c.topTokens AS top_tokens
ORDER BY weaker_log_odds DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
