"""The Prefect flows, one a file, each read from top to bottom."""
