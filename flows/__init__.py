"""The Prefect flows, one per file, each read from top to bottom."""
