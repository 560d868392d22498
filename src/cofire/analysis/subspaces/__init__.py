"""Where the tokens of a cluster lie in the span of its members, and how well a simplex fits them."""
