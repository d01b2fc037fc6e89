"""Processes: who is alive, who ends with whom, and the embedded Prefect server."""
