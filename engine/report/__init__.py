"""Pages for people: what a model is."""
