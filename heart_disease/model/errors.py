"""Every error that a user can cause, and the exit code that it ends in.

    HeartError
    ├── UsageError        2   the command or a parameter makes no sense
    ├── DataError         3   the data cannot be used
    │   ├── SourceError       it cannot be read as a table
    │   └── RejectedError     it was read, and validation refused it
    ├── UnavailableError  4   something that is needed is not there: a champion, a store, a server
    └── MovedError        5   the champion is another one than the one that was compared with

A message says what was expected, what came, where, and what to do. The command line prints it and
nothing else. Exit codes 5 (trained, but not promoted) and 6 (not reproduced) are outcomes too, not only errors.
"""

from __future__ import annotations


class HeartError(Exception):
    """Something that the user can mend; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(HeartError):
    """A parameter or a combination of options that makes no sense."""

    exit_code = 2


class DataError(HeartError):
    """The data cannot be used."""

    exit_code = 3


class SourceError(DataError):
    """A source that cannot be read as a table: missing, empty, binary, no header."""


class RejectedError(DataError):
    """A table that was read, and that validation refused."""


class UnavailableError(HeartError):
    """Something that is needed is not there: a champion, a writable store, a server that answers."""

    exit_code = 4


class MovedError(HeartError):
    """The champion is another one than the one that was compared with: someone else was quicker."""

    exit_code = 5
