"""Noise floors, and which firings are clear of them."""
