"""Models on patients that they did not learn from: of another hospital, later ones, held-out ones."""
