"""The Prefect tasks, one for each box in the README's picture."""
