"""Unattended work on a Prefect server: deployments, schedules, workers, notifications, cleaning up."""
