"""Which edges a third latent explains, and which latents are twins."""
