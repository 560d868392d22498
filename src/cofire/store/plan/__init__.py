"""From the tables of a capture to rows for the graph: what a load or an export writes, in order."""
