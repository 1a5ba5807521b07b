"""Pages for people: what a model is, and what a map became."""
