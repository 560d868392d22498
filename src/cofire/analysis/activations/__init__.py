"""The activations that analyses look at: which are clear, at what strength a latent is on, what clusters share."""
