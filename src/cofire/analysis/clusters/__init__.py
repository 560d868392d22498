"""Communities of the co-firing graph: a sweep of partitions, its consensus, and the shape of each cluster."""
