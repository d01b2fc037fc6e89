"""The code that makes a model, as a digest: two versions with the same one differ in nothing that decides a weight."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

ROOMS = ("model", "data", "training", "evaluation")  # not the programs around them: their text decides no weight
HERE = Path(__file__).resolve().parent.parent


@cache
def code_digest(*more: str) -> str:
    """Of the modules of these rooms, and of `more` rooms; with or without git."""
    digest = hashlib.sha256()
    for path in sorted(path for room in (*ROOMS, *more) for path in (HERE / room).rglob("*.py")):
        digest.update(f"{path.relative_to(HERE).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]
