"""Every error that a user can cause, and the exit code that it leads to.

    HeartError
    ├── UsageError        2   the command or a parameter makes no sense
    ├── DataError         3   the data cannot be used
    │   ├── SourceError       it cannot be read as a table
    │   └── RejectedError     it was read, and validation refused it
    ├── UnavailableError  4   something necessary is missing: a champion, a store, a server
    │   ├── HistoryError      the history of champions was deleted and can be restored
    │   └── OriginError       what a version was made from is gone or cannot be read
    └── MovedError        5   the champion is no longer the one that was compared with

A message says what was expected, what came, where, and what to do. The command line prints it and nothing else.
Passwords in addresses are hidden in it: it also gets into logs, Prefect's states, and MLflow's descriptions.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """The exit code of a command; `meaning` explains it in one line."""

    meaning: str

    DONE = 0, "done"
    FAILED = 1, "unexpected failure"
    WRONG_USAGE = 2, "wrong usage"
    REJECTED = 3, "the data was rejected"
    UNAVAILABLE = 4, "nothing to use: no champion, run, store or server"
    NOT_PROMOTED = 5, "trained, but not promoted; or someone else moved the champion meanwhile"
    NOT_REPRODUCED = 6, "not reproduced"
    DRIFTED = 7, "the patients differ from those that the model learned from"
    STOPPED = 130, "stopped by Ctrl-C, or the flow run was cancelled"
    TERMINATED = 143, "stopped by SIGTERM"

    def __new__(cls, value: int, meaning: str) -> Self:
        """An int that knows its meaning."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code


NAMED = r"\$\{[\w.-]+\}"  # where a password's name stands instead of it, such as ${HEART_SOURCE_PASSWORD}
SECRETS = (
    # user:password@; a database's password may contain a slash. An empty host, as in sqlite:////a:b@c.db, has none.
    re.compile(rf"(://[^/\s:@]*:)(?!\d{{1,5}}(?:[/?#'\"\s,;)]|$))(?!{NAMED}@)[^\s@]*(?:@[^\s@/]*)*@"),
    re.compile(rf"(https?://)(?!{NAMED}@)[^/\s:@]+@", re.IGNORECASE),  # a token instead of user and password
    re.compile(
        r"([?&][\w.-]*(?:token|passw|pwd|secret|key|sig|auth|credential)[\w.-]*=)"
        rf"(?!{NAMED}[,.;)]*(?:[&\s'\"#]|$))[^&\s'\"]+",
        re.IGNORECASE,
    ),
)


def hide(text: str) -> str:
    """The text with *** for each password and token in an address. Every text that leaves the program goes through."""
    for secret in SECRETS:
        text = secret.sub(lambda found: f"{found[1]}***{'@' * found[0].endswith('@')}", text)
    return text


class HeartError(Exception):
    """An error that the user can correct; the command line exits with `exit_code`."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str) -> None:
        super().__init__(hide(message))


class UsageError(HeartError):
    """A parameter or a combination of options that makes no sense."""

    exit_code = ExitCode.WRONG_USAGE


class DataError(HeartError):
    """The data cannot be used."""

    exit_code = ExitCode.REJECTED


class SourceError(DataError):
    """A source that cannot be read as a table: missing, empty, binary, no header."""


class RejectedError(DataError):
    """A table that was read, but refused by validation."""


class UnavailableError(HeartError):
    """Something necessary is missing: a champion, a writable store, a server that answers."""

    exit_code = ExitCode.UNAVAILABLE


class HistoryError(UnavailableError):
    """The history of champions cannot take another move: it was deleted and can be restored, or is not ours."""


class OriginError(UnavailableError):
    """What a version was made from is gone or cannot be read."""


class MovedError(HeartError):
    """The champion is no longer the one that was compared with: someone else was quicker."""

    exit_code = ExitCode.NOT_PROMOTED
