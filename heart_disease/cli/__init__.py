"""The `heart` command."""
