"""Networks: their recipe, and the engine that trains many of them at once."""
