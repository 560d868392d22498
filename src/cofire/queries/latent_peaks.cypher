// name: latent_peaks
// description: The modes of one latent's activation density, ascending in position.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param index: integer 0.. - the latent's index
// returns peak: integer - number of the peak
// returns position: float or null - where it stands, in aligned activation u
// returns mass: float or null - share of the latent's firings in it
// returns main: boolean or null - it is the significant mode at the highest activation
// returns partners: integer - peaks of other latents on the same tokens
// returns cluster: string or null - uid of its cluster of peaks

MATCH (s:Sae {uid: $sae, status: 'ready'})
WITH s.uid + '/' + toString($index) AS uid
MATCH (a:Latent {uid: uid})
WITH a
MATCH (a)-[:HAS_PEAK]->(k:Peak)
OPTIONAL MATCH (k)-[:IN]->(c:PeakCluster)
RETURN k.peak AS peak, k.position AS position, k.mass AS mass, k.main AS main,
       COUNT { (k)-[:PEAK_CO_FIRES]-(:Peak) } AS partners, c.uid AS cluster
ORDER BY peak
