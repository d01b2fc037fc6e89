"""Processes: which are alive, which end together, and the embedded Prefect server."""
