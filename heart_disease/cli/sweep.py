"""The end of a search, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heart_disease import registry
from heart_disease.reporting import tables
from heart_disease.reporting.terminal import wrapped
from heart_disease.training.recipe import Recipe

if TYPE_CHECKING:
    from flows.sweep import Outcome


def show(outcome: Outcome) -> None:
    """What was found, best first, and the command that trains the choice."""
    found = outcome.summary
    table = [("", "log loss", "configuration, at its best epochs")]
    table += [
        (str(rank), str(loss), recipe.title)
        for rank, (recipe, loss) in enumerate(zip(found.ranked[:10], found.loss, strict=False), start=1)
    ]
    print(f"\n{tables.aligned(table)}\n")
    print(wrapped(f"chosen: {found.chosen.title}"))
    print("  the simplest within one standard error of the best. Log loss:")
    print(f"  {found.of_chosen}  of the choice, on the folds that chose it")
    print(f"  {found.of_best}  of the best")
    print(f"  {found.nested}  of the whole search, by nested cross-validation\n")
    print(wrapped(train_command(found.chosen)))
    print(f"  {registry.run_url(outcome.run)}")


def train_command(recipe: Recipe) -> str:
    """What to type to train it: an option for all that differs from the default recipe."""
    default, given = Recipe().as_text(), recipe.as_text() | {"hidden": ",".join(map(str, recipe.hidden)) or "none"}
    options = [f"--{name.replace('_', '-')} {value}" for name, value in given.items() if value != default[name]]
    return " ".join(["heart train", *options])
