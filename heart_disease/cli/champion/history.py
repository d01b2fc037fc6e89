"""`heart history`: every move of the champion."""

from __future__ import annotations

import argparse

from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode
from heart_disease.reporting.terminal import progress, wrapped


def add(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no options."""


def run(options: argparse.Namespace) -> int:
    """Print every move of the champion, newest first.

    Raises:
        UnavailableError: there has never been a champion.
    """
    from heart_disease import registry
    from heart_disease.cli.champion import moves

    with progress():
        found = registry.history()
    if not found:
        registry.champion()  # raises an error that says what to do
    if options.json:
        write_json(found[::-1])
        return ExitCode.DONE
    for move in reversed(found):
        made_by = f"run {move.run_id[:8]}" if move.run_id else "no run"
        print(
            f"{moves.local(move.when)}  {move.before or 'none'} -> {move.after or 'none'}  {moves.how(move)}, {made_by}"
        )
        print(wrapped(f"  {' '.join(move.why.split())}"))
    return ExitCode.DONE


COMMAND = Command(
    name="history",
    help="every champion there was",
    description="Show every move of the champion, newest first.",
    add=add,
    run=run,
)
