"""How far the shape of a cluster tells what it does, over the clusters of several captures."""
