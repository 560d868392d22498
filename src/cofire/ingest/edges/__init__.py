"""Which pairs co-fire beyond chance, and what is told of them: expectation, significance, the rule, conditionals."""
