"""What is known of each latent by itself: moments, histograms, main mode, top tokens, contexts, centroids."""
