"""A digest of the code that makes a model: versions with the same digest agree in everything that decides a weight."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

# What decides a weight, given the patients: the programs around it do not, and neither does how the patients were read,
# because they have a digest of their own.
CODE = ("model/**/*.py", "training/**/*.py", "evaluation/*.py", "data/digests.py", "data/identities.py")
HERE = Path(__file__).resolve().parent.parent


@cache
def code_digest(*more: str) -> str:
    """A digest of the modules of `CODE` and of `more` rooms, as paths from here; it does not need git."""
    digest = hashlib.sha256()
    patterns = (*CODE, *(f"{room}/**/*.py" for room in more))
    for path in sorted({path for pattern in patterns for path in HERE.glob(pattern)}):
        digest.update(f"{path.relative_to(HERE).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]
