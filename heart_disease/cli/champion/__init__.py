"""Commands about the champion and the runs behind it."""
