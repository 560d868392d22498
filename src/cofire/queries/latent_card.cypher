// name: latent_card
// description: One latent: all its numbers, its tokens, and its cluster.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// returns index: integer - the latent's index
// returns firing_count: integer - tokens on which it fires
// returns frequency: float - firing_count / counted tokens
// returns mean: float or null - mean activation where it fires
// returns std: float or null - standard deviation of the same
// returns max: float or null - largest activation
// returns threshold: float or null - the SAE's firing threshold
// returns mu: float or null - activation at u = 1 of the histogram
// returns mu_rule: string or null - where mu comes from: mode or mean
// returns dead: boolean - it never fires
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often
// returns partners: integer - latents that it co-fires with
// returns cluster: string or null - uid of its cluster
// returns role: string or null - its role there
// returns strength: float or null - sum of its positive log_odds to the other members
// returns cluster_size: integer or null - latents in the cluster
// returns structure: string or null - the cluster's structure
// returns histogram: list<integer> or null - 256 counts of the aligned activation u over [0, 4)

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
OPTIONAL MATCH (a)-[i:IN]->(c:Cluster)
RETURN a.index AS index, a.firingCount AS firing_count, a.frequency AS frequency, a.mean AS mean, a.std AS std,
       a.max AS max, a.threshold AS threshold, a.mu AS mu, a.muRule AS mu_rule, a.dead AS dead,
       a.distinctiveTokens AS distinctive_tokens, a.topTokens AS top_tokens, COUNT { (a)-[:CO_FIRES]-() } AS partners,
       c.uid AS cluster, i.role AS role, i.strength AS strength, c.size AS cluster_size, c.structure AS structure,
       a.histogram AS histogram
