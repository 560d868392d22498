// name: peak_clusters
// description: The clusters of peaks of one SAE, largest first, with their members.
// param sae: string - uid of the SAE (RELEASE/SAE_ID)
// param min_size: integer 1.. = 2 - fewest peaks
// param limit: integer 0.. = 0 - at most so many rows, 0 for all
// returns cluster: string - uid of the cluster
// returns size: integer - peaks in it
// returns members: list<list<integer>> - latent and number of each peak, ascending

MATCH (s:Sae {uid: $sae, status: 'ready'})
MATCH (c:PeakCluster) WHERE c.sae = s.uid AND c.size >= $min_size
MATCH (c)<-[:IN]-(k:Peak)
WITH c, k
ORDER BY c.uid, k.latent, k.peak
WITH c, collect([k.latent, k.peak]) AS members
RETURN c.uid AS cluster, c.size AS size, members
ORDER BY size DESC, cluster
LIMIT CASE WHEN 0 < $limit < 1000000000 THEN $limit ELSE 1000000000 END
