"""Words that depend on a number."""

from __future__ import annotations


def count(n: int, noun: str) -> str:
    """``1 row``, ``2 rows``, for nouns whose plural ends in s."""
    return f"{n} {noun}{'s' * (n != 1)}"
