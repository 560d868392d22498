"""What a cluster does, composition, ambiguity or hierarchy, from what its members do on the tokens they share."""
