// name: latents_by_word
// description: The latents of one SAE that have a word in their label or among their most frequent or most distinctive
//   tokens; the latent that fires most often first. Capital and small letters are the same; on Neo4j a full-text index
//   finds them.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param word: string - one word, of letters, digits and _; blanks around it do not count
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the latent's index
// returns label: string or null - a description of the latent, where there is one
// returns firing_count: integer - tokens on which it fires
// returns frequency: float - firing_count / counted tokens
// returns cluster: string or null - uid of its cluster
// returns distinctive_tokens: list<string> or null - the tokens most distinctive of it
// returns top_tokens: list<string> or null - the tokens that it fires on most often

// only: neo4j
MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid AS sae, toLower(trim($word)) AS word
WHERE word <> ''
// In the index's language quotes hold a phrase, in which only \ and " mean anything.
CALL db.index.fulltext.queryNodes('latent_words', '"' + replace(replace(word, '\\', '\\\\'), '"', '\\"') + '"')
YIELD node AS a
WITH sae, word, a WHERE a.sae = sae AND word IN split(a.words, ' ')
OPTIONAL MATCH (a)-[:IN]->(c:Cluster)
WITH a.index AS index, a.label AS label, a.firingCount AS firing_count, a.frequency AS frequency, c.uid AS cluster,
     a.distinctiveTokens AS distinctive_tokens, a.topTokens AS top_tokens
RETURN index, label, firing_count, frequency, cluster, distinctive_tokens, top_tokens
ORDER BY firing_count DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END

// only: embedded
MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(a:Latent)
WITH a, toLower(trim($word)) AS word
WHERE word <> '' AND a.words CONTAINS word AND word IN split(a.words, ' ')
OPTIONAL MATCH (a)-[:IN]->(c:Cluster)
WITH a.index AS index, a.label AS label, a.firingCount AS firing_count, a.frequency AS frequency, c.uid AS cluster,
     a.distinctiveTokens AS distinctive_tokens, a.topTokens AS top_tokens
RETURN index, label, firing_count, frequency, cluster, distinctive_tokens, top_tokens
ORDER BY firing_count DESC, index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
