"""Motifs of the co-firing graph: searched one by one, and counted in all."""
