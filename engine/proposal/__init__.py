"""A recipe from an analyst's own files: what they hold, and the training that fits."""
