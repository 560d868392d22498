"""What clusters and motifs look like in rewired graphs."""
