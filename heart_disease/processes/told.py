"""The end of a program of the servers: an error that its user can correct is one message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from heart_disease.model.errors import ExitCode, HeartError


def told(work: Callable[[], object]) -> int:
    """Do the work; returns the exit code."""
    try:
        work()
    except HeartError as error:
        print(f"heart: {error}", file=sys.stderr)
        return error.exit_code
    return ExitCode.DONE
