"""Everything that starts: the command line and the Prefect flows."""
