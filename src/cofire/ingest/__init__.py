"""From text, model and SAE to a capture directory, its counts and its tables."""
