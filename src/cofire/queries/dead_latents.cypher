// name: dead_latents
// description: Latents that never fire in the counted text.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns index: integer - the latent's index
// returns threshold: float or null - the SAE's firing threshold

MATCH (s:Sae {uid: $sae, status: 'ready'})<-[:OF]-(a:Latent)
WHERE a.dead
RETURN a.index AS index, a.threshold AS threshold
ORDER BY index
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
