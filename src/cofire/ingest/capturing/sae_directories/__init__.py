"""Directories of SAEs that other libraries saved: what they say, and their tensors under the names of sae-lens."""
