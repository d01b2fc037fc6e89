"""`heart promote`: make a version the champion by hand."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, UnavailableError, UsageError
from heart_disease.reporting.terminal import progress

if TYPE_CHECKING:
    from heart_disease.registry import ModelRef


def add(parser: argparse.ArgumentParser) -> None:
    """Options: which version, and why."""
    parser.add_argument("version", metavar="VERSION", help="its number, or challenger, which is the newest version")
    parser.add_argument("--because", metavar="WHY", required=True, help="the reason, for the history")


def run(options: argparse.Namespace) -> int:
    """Make a version (a number, or "challenger") the champion by hand, if it loads and scores.

    Raises:
        UsageError: the reason is empty, the version is neither a number nor "challenger", or it is already champion.
        UnavailableError: there is no such version, or it does not load.
        MovedError: someone else moved the champion meanwhile.
    """
    if not options.because.strip():
        raise UsageError("--because is empty; expected why this version should be champion, for the history")
    from heart_disease import registry
    from heart_disease.cli.champion import moves

    with progress():
        present = registry.find_champion()
    ref = _find(options.version)
    if ref == present:
        raise UsageError(
            f"{ref.name} version {ref.version} is champion already; expected another version. Nothing was moved, and "
            "there is nothing to do; `heart champion` shows it."
        )
    moves.move(ref, present, "by hand", options.because, as_json=options.json)
    return ExitCode.DONE


def _find(version: str) -> ModelRef:
    from heart_disease import registry

    if version == registry.CHALLENGER:
        found = registry.by_alias(registry.CHALLENGER)
        if not found:
            raise UnavailableError(
                f"no challenger in {registry.uri()}; expected a version with the alias 'challenger'. Run `heart train`."
            )
        return found
    if not re.fullmatch("[0-9]{1,9}", version):
        raise UsageError(
            f"version '{version}': expected a number, or challenger. `heart history` lists those that were champion."
        )
    return registry.by_version(version)


COMMAND = Command(
    name="promote",
    help="make a version the champion by hand",
    description="Make a version the champion by hand, if it loads and scores.",
    add=add,
    run=run,
)
