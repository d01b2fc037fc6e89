"""`heart rollback`: make the previous champion the champion again."""

from __future__ import annotations

import argparse

from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, UnavailableError, UsageError
from heart_disease.reporting.terminal import progress


def add(parser: argparse.ArgumentParser) -> None:
    """Options: the reason."""
    parser.add_argument("--because", metavar="WHY", help="the reason, for the history")


def run(options: argparse.Namespace) -> int:
    """Make the previous champion the champion again; if repeated, the one before it, and so on.

    Raises:
        UsageError: the reason is empty.
        UnavailableError: there is no earlier champion, or it does not load.
        MovedError: someone else moved the champion meanwhile.
    """
    because = options.because
    if because is not None and not because.strip():
        raise UsageError("--because is empty; expected a reason, or no --because at all")
    from heart_disease import registry
    from heart_disease.cli.champion import moves

    with progress():
        found = registry.history()
    if not found:
        registry.champion()  # raises an error that says what to do
    present, there = found[-1].champion, registry.all_versions()
    if present is None:
        raise UnavailableError("nothing to roll back from: there is no champion. `heart promote VERSION` makes one.")
    named = f"version {present.version}"
    before = registry.earlier_champions(found)
    earlier = [ref for ref in before if ref in there]
    if not earlier:
        others = sorted({ref.version for ref in there} & {ref.version for ref in before}, key=int)
        note = f"Today's version {', '.join(others)} is another one, of the same number. " if others else ""
        raise UnavailableError(
            f"nothing to roll back to: before {named} there was no champion, or it was deleted. {note}`heart promote "
            "VERSION` makes any version champion."
        )
    moves.move(earlier[0], present, "rollback", because or f"rolled back from {named}", as_json=options.json)
    return ExitCode.DONE


COMMAND = Command(
    name="rollback",
    help="make the previous champion the champion again",
    description="Make the previous champion the champion again; if repeated, the one before it.",
    add=add,
    run=run,
)
