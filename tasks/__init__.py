"""The Prefect tasks, one for each box of the README's picture."""
