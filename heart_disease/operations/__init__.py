"""Unattended work on Prefect's server: the server itself, deployments, schedules, workers, notifications, clean-up."""
