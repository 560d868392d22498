"""From text, model and SAEs to shards: what `cofire capture` does, step by step."""
