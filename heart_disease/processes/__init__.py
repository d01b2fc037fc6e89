"""Processes: which are alive, and which end together."""
