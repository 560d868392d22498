"""Pages to read: of an SAE, and of one cluster."""
