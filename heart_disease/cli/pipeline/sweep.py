"""`heart sweep`: search the recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_device, add_options, add_source, made
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.evaluation.settings import EvaluationOptions
from heart_disease.model.errors import ExitCode
from heart_disease.reporting.terminal import import_tensorflow, progress, wrapped
from heart_disease.search.settings import Search
from heart_disease.training.recipe import Recipe, RecipeOptions

if TYPE_CHECKING:
    from flows.sweep import Outcome


def add(parser: argparse.ArgumentParser) -> None:
    """Options: what to search, on which patients, and on which machines."""
    add_source(parser)
    parser.add_argument(
        "--space", metavar="FILE", help="YAML file that says what to search (default: the space in docs/sweeps.md)"
    )
    parser.add_argument("--grid", action="store_true", help="try all combinations of the space, which must be lists")
    add_options(parser, Search)
    add_device(parser)
    cluster = parser.add_mutually_exclusive_group()
    cluster.add_argument("--dask", metavar="ADDRESS", help="train on a Dask cluster, such as tcp://10.0.0.1:8786")
    cluster.add_argument("--ray", metavar="ADDRESS", help="train on a Ray cluster, such as ray://10.0.0.1:10001")
    add_options(parser.add_argument_group("evaluation"), EvaluationOptions, leave_out=("holdout", "sensitivity"))


def run(options: argparse.Namespace) -> int:
    """Search, and print the best recipes.

    Raises:
        HeartError: the space, the data, a store, a server or a cluster cannot be used.
    """
    from heart_disease.data import files
    from heart_disease.operations.server.server import prefect_server
    from heart_disease.search import space

    if options.source is not None:
        files.check(options.source)  # before any server starts
    evaluation, search = made(EvaluationOptions, options, {}), made(Search, options, {})
    wanted = space.read_space(Path(options.space) if options.space is not None else None)
    if options.grid:
        space.grid(space.make_space(wanted))  # refuses a bad grid before anything starts
    with progress(), prefect_server() as server:
        import_tensorflow()
        from flows import sweep

        server.wait()
        outcome = sweep.run(
            options.source, wanted, "grid" if options.grid else "random", search.configurations, evaluation,
            search.inner_folds, search.seed, options.device or "auto", dask=options.dask, ray=options.ray,
        )  # fmt: skip
        if options.json:
            _write(outcome)
        else:
            show(outcome)
    return ExitCode.DONE


def _write(outcome: Outcome) -> None:
    from heart_disease import registry

    found = outcome.summary
    ranked = [
        {"recipe": recipe.as_text(), "log_loss": loss} for recipe, loss in zip(found.ranked, found.loss, strict=True)
    ]
    log_loss = {"of_chosen": found.of_chosen, "of_best": found.of_best, "nested": found.nested}
    then = train_command(found.chosen, len(outcome.study.labels))
    page = registry.run_url(outcome.run)
    write_json({"chosen": found.chosen, "log_loss": log_loss, "ranked": ranked, "train": then, "page": page})


def show(outcome: Outcome) -> None:
    """Print what was found, best first, and the command that trains the choice."""
    from heart_disease import registry
    from heart_disease.reporting import tables

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
    print(wrapped(train_command(found.chosen, len(outcome.study.labels))))
    print(f"  {registry.run_url(outcome.run)}")


def train_command(recipe: Recipe, rows: int) -> str:
    """The command that trains it on so many patients, with an option for each part that differs from the default."""
    from heart_disease.evaluation import by_rows

    default = by_rows.recipe_for(rows, RecipeOptions()).as_text()
    given = recipe.as_text()
    given |= {name: given[name].replace(between, ",") for name, between in (("hidden", "-"), ("without", " "))}
    options = [f"--{name.replace('_', '-')} {value}" for name, value in given.items() if value != default[name]]
    return " ".join(["heart train", *options])


COMMAND = Command(
    name="sweep",
    help="search the recipe: many configurations on the same folds",
    description="Cross-validate many recipes at once, choose the simplest of the good ones, and re-estimate it. "
    "If it is stopped, the same command continues it.",
    add=add,
    run=run,
)
