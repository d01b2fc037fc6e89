"""A digest of the code that makes a model: versions with the same digest agree in everything that decides a weight."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

ROOMS = ("model", "data", "training", "evaluation")  # the programs around them decide no weight
HERE = Path(__file__).resolve().parent.parent


@cache
def code_digest(*more: str) -> str:
    """A digest of the modules in `ROOMS` and in `more` rooms, as paths from here; it does not need git."""
    digest = hashlib.sha256()
    for path in sorted(path for room in (*ROOMS, *more) for path in (HERE / room).rglob("*.py")):
        digest.update(f"{path.relative_to(HERE).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]
