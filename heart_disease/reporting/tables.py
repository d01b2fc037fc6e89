"""A report as a tracker wants it (names and numbers) and as people read it (tables)."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import StringIO

import numpy as np
import pandas as pd
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from heart_disease.evaluation.contest import ALL_COLUMNS, CHAMPION, LOGISTIC, NETWORK, PREVALENCE, Report
from heart_disease.evaluation.estimates import METRICS, MINUS, Estimate, names_of
from heart_disease.evaluation.verdict import Decision
from heart_disease.search.study import Study, Summary
from heart_disease.training.engine import CURVES
from heart_disease.training.recipe import Recipe

OUT_OF_FOLD, INTERVALS = "out_of_fold.csv", "metrics.csv"
MODEL_NAMES = {
    NETWORK: "network", CHAMPION: "champion", LOGISTIC: "logistic regression", PREVALENCE: "prevalence",
    ALL_COLUMNS: "with all columns",
}  # fmt: skip
NOT_SHOWN = (PREVALENCE, ALL_COLUMNS)  # a terminal has no room for them


def metrics(report: Report) -> dict[str, float]:
    """The figures by name: those of the network, and the paired differences, with `_low` and `_high` for their ends.

    The network's are plain (``log_loss``, ``log_loss_low``); a baseline's have its name in front
    (``logistic_regression/log_loss``), and no ends, which `intervals` has: a tracker draws a chart for each name. The
    paired differences are ``log_loss_minus/logistic_regression``.
    """
    out: dict[str, float] = {}
    for model, estimates in report.metrics.items():
        if model == NETWORK:
            out |= figures(estimates)
        else:
            out |= {f"{model}/{name}": one.value for name, one in estimates.items()}
    for baseline, estimate in report.differences.items():
        out.update(estimate.named(f"{MINUS}/{baseline}"))
    if report.averaging:
        out.update(report.averaging.named(f"{MINUS}/one_member"))
    return out


def intervals(report: Report) -> str:
    """CSV: every metric of every model with both ends of its interval."""
    lines = [
        ("model", "metric", "value", "low", "high"),
        *(
            (model, name, *(f"{value:.6f}" for value in (one.value, one.low, one.high)))
            for model, estimates in report.metrics.items()
            for name, one in estimates.items()
        ),
    ]
    return "".join(",".join(line) + "\n" for line in lines)


def figures(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """The figures of one model by name: value and both ends of each."""
    return {key: value for name, one in estimates.items() for key, value in one.named(name).items()}


def decision_tags(decision: Decision) -> dict[str, str]:
    """A decision as the tags of a run or version: the verdicts, and the groups of patients that are worse off.

    The differences are metrics of the run, with their intervals.
    """
    compared = {LOGISTIC: decision.logistic, CHAMPION: decision.champion, ALL_COLUMNS: decision.all_columns}
    out = {f"verdict/{name}": found.kind for name, found in compared.items() if found}
    if decision.groups:
        worse = in_groups(decision)
        out["verdict/groups"] = f"worse in {worse}" if decision.worse_in else f"not worse in {len(decision.groups)}"
    return out


def in_groups(decision: Decision) -> str:
    """The groups of patients in which the network is worse than the champion; ``none`` if there are none."""
    return ", ".join(map(str, decision.worse_in)) or "none"


def out_of_fold(report: Report, ids: Sequence[str]) -> str:
    """CSV: one line per patient, with the patient's digest, label, and the network's probability in each repeat."""
    probabilities = report.probabilities[NETWORK]  # (R, n)
    columns = {f"probability_{r}": p for r, p in enumerate(probabilities, start=1)}
    frame = pd.DataFrame({"patient": ids, "label": report.labels, **columns})
    return frame.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def curves(report: Report) -> Iterator[tuple[str, int, float]]:
    """Name, epoch (from 1) and value of every curve: the mean over the folds, and their standard deviation.

    The names are the engine's, such as ``loss/train``; the standard deviation of that one is ``loss_std/train``.
    """
    for name in CURVES:
        values = report.curves[name]  # (folds, epochs)
        lines = {name: values.mean(axis=0)}
        if len(values) > 1:
            lines[spread_of(name)] = values.std(axis=0)
        for kept, line in lines.items():
            for epoch, value in enumerate(line, start=1):
                if np.isfinite(value):
                    yield kept, epoch, float(value)


def spread_of(curve: str) -> str:
    """What the standard deviation of a curve over the folds is called: ``loss_std/train`` for ``loss/train``."""
    kind, part = curve.split("/")
    return f"{kind}_std/{part}"


def search_text(study: Study, found: Summary) -> str:
    """What a search tried and found, in Markdown: the choice, what it is worth, what was tried, and the best ten."""
    folds = study.evaluation
    lines = [
        f"Chosen: **{found.chosen.title}**, the simplest within one standard error of the best.",
        "",
        "| log loss | 95 % interval |",
        "|---|---|",
        f"| of the choice, on the folds that chose it | {found.of_chosen} |",
        f"| of the best, {found.best.title} | {found.of_best} |",
        f"| **of the whole search, by nested cross-validation** | **{found.nested}** |",
        "",
        f"{len(found.ranked)} configurations on {len(study.frame)} patients: {folds.folds}-fold cross-validation, "
        f"{folds.repeats} repeat{'s' * (folds.repeats > 1)}, with {study.inner_folds} inner folds for the nested one.",
        "",
        "| tried | values |",
        "|---|---|",
        *(f"| {name} | {values} |" for name, values in tried(study, found).items()),
        "",
        f"The best {min(10, len(found.ranked))}, best first:",
        "",
        "| configuration, at its best epochs | log loss |",
        "|---|---|",
    ]
    lines += [f"| {recipe.title} | {loss} |" for recipe, loss in zip(found.ranked[:10], found.loss, strict=False)]
    return "\n".join(lines)


def tried(study: Study, found: Summary) -> dict[str, str]:
    """What differed between the configurations of a search, by name: the values, or the two ends if there are many."""
    out = {"epochs": ", ".join(map(str, study.epochs))}
    for name in found.chosen.as_text():
        values = {getattr(recipe, name): recipe.as_text()[name] for recipe in found.ranked}
        if name != "epochs" and len(values) > 1:
            text = [values[value] for value in sorted(values)]
            out[name] = ", ".join(text) if len(text) <= 8 else f"{text[0]} to {text[-1]}"
    return out


def configuration_text(study: Study, recipe: Recipe, estimates: Mapping[str, Estimate]) -> str:
    """What one configuration of a search is worth at its best epochs, in Markdown."""
    epochs, folds = study.epochs, len(study.splits.pairs)
    lines = [
        f"Figures at {recipe.epochs} epochs, its best of {', '.join(map(str, epochs))}. "
        f"Curves to {epochs[-1]}, means over {folds} folds.",
        "",
        "| metric | 95 % interval |",
        "|---|---|",
        *(f"| {METRICS[name]} | {one} |" for name, one in estimates.items()),
    ]
    return "\n".join(lines)


def ranking(found: Summary) -> str:
    """CSV: every configuration at its best epochs, the best first."""
    names = list(found.chosen.as_text())
    lines = [["rank", *names, "weights", *names_of("log_loss")]]
    for rank, (recipe, loss) in enumerate(zip(found.ranked, found.loss, strict=True), start=1):
        numbers = [f"{value:.6f}" for value in (loss.value, loss.low, loss.high)]
        lines.append([str(rank), *recipe.as_text().values(), str(recipe.size), *numbers])
    return "".join(",".join(line) + "\n" for line in lines)


def rows(report: Report, leave_out: Collection[str] = ()) -> list[tuple[str, ...]]:
    """A header, then one row per metric: the figure of every model that is not left out, with its interval."""
    shown = {model: found for model, found in report.metrics.items() if model not in leave_out}
    header = ("metric", *(MODEL_NAMES[model] for model in shown))
    return [header, *((title, *(str(found[metric]) for found in shown.values())) for metric, title in METRICS.items())]


def text(report: Report) -> str:
    """The table for a terminal, under 80 columns: the network, the champion and logistic regression."""
    return aligned(rows(report, leave_out=NOT_SHOWN))


def aligned(table: Sequence[Sequence[str]], width: int | None = None) -> str:
    """A header and rows in columns, with dashes between them; plain text without trailing blanks.

    width: in characters, the terminal's by default; cells are wrapped to stay within it.
    """
    header, *body = table
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row(*map(Text, header))
    grid.add_row(*(Rule(characters="-", style="none") for _ in header))
    for row in body:
        grid.add_row(*map(Text, row))
    out = StringIO()
    # By itself, rich detects colours, a notebook and a width, and the text would depend on where it is made.
    console = Console(
        file=out, width=width or shutil.get_terminal_size().columns, color_system=None, force_terminal=False,
        force_jupyter=False,
    )  # fmt: skip
    console.print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def markdown(report: Report) -> str:
    """The table with all models, for MLflow's description; MLflow itself leaves no room between the columns."""
    head, *body = ["| " + " &nbsp;| ".join(row) + " |" for row in rows(report)]
    return "\n".join([head, "|---" * len(rows(report)[0]) + "|", *body])
