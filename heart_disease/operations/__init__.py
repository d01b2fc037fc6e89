"""Unattended work on a Prefect server: deployments, schedules, workers, notifications, clean-up."""
