"""Takes away what a dead process has left, and what is no longer needed."""
