"""The search for a better recipe: its space, its study, and the clusters that it can run on."""
