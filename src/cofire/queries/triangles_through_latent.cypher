// name: triangles_through_latent
// description: The triangles that one latent closes: pairs of its neighbours that co-fire too, strongest weakest edge
//   first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 100 - at most so many rows, 0 for all
// returns b: integer - index of the second latent
// returns c: integer - index of the third latent; b < c
// returns weakest_log_odds: float - the least log_odds of the three edges
// returns log_odds_ab: float - log_odds of the latent and b
// returns log_odds_ac: float - log_odds of the latent and c
// returns log_odds_bc: float - log_odds of b and c
// returns least_count: integer - the least joint firing count of the three edges
// returns tokens_b: list<string> or null - the tokens that b fires on most often
// returns tokens_c: list<string> or null - the tokens that c fires on most often

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[ab:CO_FIRES]-(x:Latent)
MATCH (x)-[bc:CO_FIRES]->(y:Latent)-[ac:CO_FIRES]-(a)
WITH x.index AS b, y.index AS c, ab.logOdds AS log_odds_ab, ac.logOdds AS log_odds_ac, bc.logOdds AS log_odds_bc,
     CASE WHEN ab.logOdds <= ac.logOdds THEN ab.logOdds ELSE ac.logOdds END AS weaker,
     CASE WHEN ab.count <= ac.count THEN ab.count ELSE ac.count END AS fewer, bc.count AS count_bc,
     x.topTokens AS tokens_b, y.topTokens AS tokens_c
RETURN b, c, CASE WHEN weaker <= log_odds_bc THEN weaker ELSE log_odds_bc END AS weakest_log_odds,
       log_odds_ab, log_odds_ac, log_odds_bc, CASE WHEN fewer <= count_bc THEN fewer ELSE count_bc END AS least_count,
       tokens_b, tokens_c
ORDER BY weakest_log_odds DESC, b, c
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
