"""The Prefect tasks: one for each box in the README's picture, and those of the search and of the monitor."""
