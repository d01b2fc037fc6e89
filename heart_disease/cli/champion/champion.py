"""`heart champion`: which version is used, since when and why."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, OriginError
from heart_disease.reporting.terminal import progress, wrapped

if TYPE_CHECKING:
    from heart_disease.registry import ModelRef


def add(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no options."""


def run(options: argparse.Namespace) -> int:
    """Print the champion: its recipe, log loss and threshold, and since when and why it is champion.

    Raises:
        UnavailableError: there is no champion.
    """
    from heart_disease import registry
    from heart_disease.cli.champion import moves
    from heart_disease.evaluation.estimates import Estimate

    with progress():
        found = registry.history()
    ref = registry.champion()
    move = next((one for one in reversed(found) if one.champion == ref), None)
    name, metrics = registry.read_run(ref.run_id) or ("", {})
    recipe, log_loss = name or _recipe(ref), Estimate.find("log_loss", metrics)
    threshold = moves.threshold_of(ref)
    yes = (
        "unknown, because it cannot be loaded" if threshold is None else f"yes from a probability of {threshold:.3f} on"
    )
    if options.json:
        write_json({"champion": ref, "recipe": recipe, "log_loss": log_loss, "threshold": threshold, "move": move})
        return ExitCode.DONE
    print(f"{ref.name} version {ref.version}: champion")
    rows = {
        "recipe": recipe,
        "log loss": str(log_loss or "unknown"),
        "threshold": yes,
        "since": f"{moves.local(move.when)}, {moves.how(move)}" if move else "unknown",
        "why": move.why if move else "unknown",
        "run": ref.run_id,
    }
    for title, value in rows.items():
        print(wrapped(f"  {title:11}{value}", indent=" " * 13))
    return ExitCode.DONE


def _recipe(ref: ModelRef) -> str:
    """The recipe of a version whose run was deleted."""
    from heart_disease import registry

    try:
        return registry.origin_of(ref).shipped.title
    except OriginError:
        return "unknown: its run was deleted"


COMMAND = Command(
    name="champion",
    help="which version is used, since when and why",
    description="Show the champion.",
    add=add,
    run=run,
)
