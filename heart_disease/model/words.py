"""Words that depend on a number, and those of other people's errors."""

from __future__ import annotations


def count(n: int, noun: str) -> str:
    """``1 row``, ``2 rows``, for nouns whose plural ends in s."""
    return f"{n} {noun}{'s' * (n != 1)}"


def reason(error: Exception) -> str:
    """The first line of a library's message, without a full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
