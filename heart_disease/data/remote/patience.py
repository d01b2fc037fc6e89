"""Trying again what may pass: a server that starts, a connection that broke. What is wrong is not tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import sleep
from typing import TypeVar

from heart_disease.model.errors import UnavailableError

log = logging.getLogger("heart")
T = TypeVar("T")
MOST_BYTES = 1 << 31  # the most that one read may bring; 10 million patients are 0.5 GB of text
PIECE = 1 << 20  # bytes that are read at once


class TransientError(Exception):
    """A read failed for a reason that may pass. wait: the seconds after which the server asks to be tried again."""

    def __init__(self, message: str, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Patience:
    """How long a read is waited for, in seconds.

    attempts: how often it is tried. first_wait: before the second try; each later one is twice as long, up to
    longest_wait. silence: without a single byte, before a try counts as failed. total: of one try.
    """

    attempts: int = 4
    first_wait: float = 1
    longest_wait: float = 30
    silence: float = 30
    total: float = 1800


def patiently(read: Callable[[], T], source: str, patience: Patience) -> T:
    """What `read` gives, as soon as it succeeds.

    Raises:
        UnavailableError: it failed each time, with a TransientError.
    """
    wait = patience.first_wait
    for left in reversed(range(patience.attempts)):
        try:
            return read()
        except TransientError as error:
            if not left:
                times = f" {patience.attempts} times" if patience.attempts > 1 else ""
                raise UnavailableError(
                    f"'{source}' was tried{times} and cannot be read: {error}. Expected a server that answers; run "
                    "again when it does."
                ) from error
            pause = min(max(wait, error.wait), patience.longest_wait)
            log.warning("source    %s: %s; again in %g s", source, error, pause)
            sleep(pause)
            wait *= 2
    raise AssertionError("a patience has at least one attempt")
