"""Prefect's server: whether it answers, and the embedded one, which ends with its starter."""
