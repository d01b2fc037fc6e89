"""Processes: which are alive, which end together, and which port is whose."""
