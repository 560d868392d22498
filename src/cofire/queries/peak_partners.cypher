// name: peak_partners
// description: The peaks of other latents that occur on the same tokens as those of one latent, most tokens first.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns peak: integer - number of the latent's peak
// returns partner: integer - index of the other latent
// returns partner_peak: integer - number of its peak
// returns count: integer - tokens on which both occur
// returns partner_position: float or null - where the other peak stands, in aligned activation u

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[:HAS_PEAK]->(k:Peak)
MATCH (k)-[r:PEAK_CO_FIRES]-(o:Peak)
RETURN k.peak AS peak, o.latent AS partner, o.peak AS partner_peak, r.count AS count, o.position AS partner_position
ORDER BY count DESC, peak, partner, partner_peak
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
