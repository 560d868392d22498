// name: saes
// description: Every SAE whose load is complete.
// returns uid: string - RELEASE/SAE_ID: the `sae` that other queries ask for
// returns release: string - release
// returns sae_id: string - SAE id within its release
// returns model: string or null - the model that it reads
// returns hook: string or null - hook point
// returns layer: integer or null - layer of the hook point
// returns architecture: string or null - sae-lens architecture
// returns n_latents: integer - latents, dead ones included
// returns tokens: integer - counted tokens
// returns documents: integer or null - documents that they come from
// returns firings: integer or null - firings over all latents and tokens
// returns mean_l0: float or null - latents that fire on a token, on average
// returns edge_rule: string or null - which co-firing pairs were kept

MATCH (s:Sae {status: 'ready'})
RETURN s.uid AS uid, s.release AS release, s.saeId AS sae_id, s.model AS model, s.hook AS hook, s.layer AS layer,
       s.architecture AS architecture, s.nLatents AS n_latents, s.tokens AS tokens, s.documents AS documents,
       s.firings AS firings, s.meanL0 AS mean_l0, s.edgeRule AS edge_rule
ORDER BY uid
