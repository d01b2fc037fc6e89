"""Commands that train, check and use a model."""
