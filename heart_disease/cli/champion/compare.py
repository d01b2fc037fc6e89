"""`heart compare`: runs side by side, and which recipe is better; with --on, which of two models."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_options, made
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.evaluation.settings import Promotion
from heart_disease.model.errors import ExitCode, RejectedError, UnavailableError, UsageError
from heart_disease.model.words import count
from heart_disease.reporting.terminal import say, wrapped

if TYPE_CHECKING:
    from heart_disease.evaluation.verdict import Comparison
    from heart_disease.evaluation.versions.comparison import OutOfFold
    from heart_disease.registry import Record
    from heart_disease.reporting.side_by_side import Cells

SIDE_BY_SIDE = 3  # more runs than that stand one below the other


def add(parser: argparse.ArgumentParser) -> None:
    """Options: which runs, and on which patients."""
    parser.add_argument(
        "runs", nargs="*", metavar="RUN",
        help="a version, an alias, a run id or its beginning, or a run's name (default: champion and challenger)",
    )  # fmt: skip
    parser.add_argument(
        "--on", metavar="SOURCE",
        help="compare two registered models, not their recipes, on the patients of SOURCE that neither learned from",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="also write a page (HTML) about two runs to this file")
    add_options(parser, Promotion, leave_out=("promote_if",))


def run(options: argparse.Namespace) -> int:
    """Compare runs, each with the first; if none are named, the challenger with the champion.

    Raises:
        UsageError: only one run, a word that fits several runs, or --on without exactly two versions.
        UnavailableError: there is no such run, or the page cannot be written.
        DataError: the file is refused, or has too few patients that neither model learned from.
    """
    words, on, margin = options.runs, options.on, made(Promotion, options, {}).margin
    if len(words) == 1:
        raise UsageError(
            f"expected two or more runs, or none for champion and challenger; got one, '{words[0]}'. Name another one "
            "as well."
        )
    from heart_disease import registry

    records = [registry.find_record(word) for word in words] if words else list(registry.two_records())
    seen: dict[str, str] = {}
    for word, record in zip(words, records, strict=False):
        if record.label in seen:
            raise UsageError(f"'{seen[record.label]}' and '{word}' are both {record.label}; expected different runs")
        seen[record.label] = word
    for record in records:
        if "epochs" not in record.params:
            raise UsageError(
                f"{record.label} ('{record.name}') in {registry.uri()} recorded no recipe; expected the run of a "
                "training. Name a run that `heart train` made."
            )
    if options.output is not None and len(records) != 2:
        raise UsageError(
            f"--output writes a page about two runs; got {len(records)}. Name two of them, or leave --output out."
        )
    found = _runs(records, margin) if on is None else _models(records, on, margin)
    if options.json:
        write_json(found.facts)
    else:
        print("\n".join(found.lines))
    if options.output is not None:
        from heart_disease.data import writing

        writing.write_text(Path(options.output), found.page())
        (say if options.json else print)(f"page: {options.output}")
    return ExitCode.DONE


@dataclass(frozen=True)
class Compared:
    """A comparison for people, line by line; for programs; and what makes the page about it."""

    lines: Sequence[str]
    facts: Mapping[str, object]
    page: Callable[[], str]


def _runs(records: Sequence[Record], margin: float) -> Compared:
    from heart_disease.reporting import side_by_side

    recipes = side_by_side.settings({record.label: record.params for record in records})
    metrics = side_by_side.metrics({record.label: record.metrics for record in records})
    first, *others = records
    notes: list[str] = []
    tested = {record.label: _out_of_fold(record, notes) for record in records}
    rows = [(other.label, *_pair(other, first, tested, margin, notes)) for other in others]
    remarks = [*notes]  # the page, which says at which threshold each figure is, does not need what follows
    if own := [record.label for record in records if "sensitivity" in record.params]:
        at_half = "Accuracy, sensitivity and specificity are at a probability of 0.5, not at the threshold of"
        notes.append(f"{at_half} {', '.join(own)}")
    lines = [
        *_heads(records),
        "recipe, evaluation and data are equal\n" if len(recipes) == 1 else _shown(recipes, len(records)),
        _shown(metrics, len(records)),
        _shown(side_by_side.pairs(rows, first.label)),
        *map(wrapped, notes),
        wrapped(f"Below 0 is better than {first.label}. {_margin(margin)}"),
    ]
    facts = {"runs": records, "differences": _differences(rows, first.label), "notes": notes}

    def page() -> str:
        from heart_disease.cli.champion import comparison

        return comparison.of_runs(records, tested, remarks, margin)

    return Compared(lines, facts, page)


def _differences(rows: Sequence[tuple[str, Comparison | None, int]], first: str) -> list[dict[str, object]]:
    return [{"of": other, "minus": first, "patients": n, "log_loss": found} for other, found, n in rows]


def _out_of_fold(record: Record, notes: list[str]) -> OutOfFold | None:
    """What the run recorded; None if it recorded nothing usable, with the reason in `notes`."""
    from heart_disease import registry
    from heart_disease.evaluation.versions import comparison
    from heart_disease.reporting import tables

    path = f"evaluation/{tables.OUT_OF_FOLD}"
    text = registry.read_text(record, path)
    try:
        if text is not None:
            return comparison.read_out_of_fold(text)
        why = f"the run has no {path}"
    except ValueError as error:
        why = f"its {path} cannot be read: {error}"
    notes.append(f"{record.label}: no out-of-fold probabilities: {why}")
    return None


def _pair(
    other: Record, first: Record, tested: Mapping[str, OutOfFold | None], margin: float, notes: list[str]
) -> tuple[Comparison | None, int]:
    """The difference `other` minus `first`, and the number of patients; caveats go to `notes`."""
    from heart_disease.evaluation.versions import comparison

    ours, theirs = tested[other.label], tested[first.label]
    if ours is None or theirs is None:
        return None, 0
    try:
        widen = max(comparison.widening(first.params), comparison.widening(other.params))
        found, n = comparison.paired(ours, theirs, widen=widen, margin=margin, seed=int(other.params.get("seed", 0)))
    except ValueError as error:
        notes.append(f"{other.label}: not comparable with {first.label}: {error}")
        return None, 0
    if n < max(len(ours.patients), len(theirs.patients)):
        counts = f"{len(ours.patients)} of {other.label}, {len(theirs.patients)} of {first.label}"
        notes.append(f"{other.label}: compared on the {n} patients that both have ({counts})")
    if changed := comparison.other_test(other.params, first.params):
        notes.append(f"{other.label}: other folds or data than {first.label}, which adds to the difference: {changed}")
    return found, n


def _models(records: Sequence[Record], source: str, margin: float) -> Compared:
    if len(records) != 2:
        raise UsageError(f"--on compares two models; got {len(records)}. Name two of them, or leave --on out.")
    import numpy as np

    from heart_disease import registry
    from heart_disease.data import identities, sources
    from heart_disease.evaluation.versions import comparison
    from heart_disease.model import schema
    from heart_disease.reporting import side_by_side

    models = {record.label: registry.load_model(record.ref) for record in records}
    for name, model in models.items():
        if not len(model.learned_from):
            raise UnavailableError(
                f"{name} does not say which patients it learned from; expected their digests in its learned_from.npy. "
                f"Versions of more than {identities.MOST_REMEMBERED:,} patients have none, nor have those of older "
                "releases: train these again."
            )
    table = sources.load(source)
    from expectations import gate

    judged = gate.validate(table)
    if not judged.passed:
        raise RejectedError(judged.refusal("nothing was compared"))
    every = {name: model.predict(table.frame)["probability"].to_numpy() for name, model in models.items()}
    scored = np.isfinite(np.sum(list(every.values()), axis=0))  # (n,) not NaN in either
    trained = {name: identities.rows_learned(table.frame, model) for name, model in models.items()}
    fresh, counts = comparison.unseen(table, trained, scored)
    patients = table.frame[fresh]
    labels = schema.label(patients).to_numpy()
    probabilities = {name: found[fresh] for name, found in every.items()}
    first, other = probabilities
    learned_from = int((scored & ~fresh).sum())
    told = f"{table.source}: {count(len(patients), 'row')} used, {learned_from} left out as training rows ({counts})"
    if not scored.all():
        told += f", {(~scored).sum()} because of codes that a model never saw"
    thresholds = {name: model.threshold for name, model in models.items()}
    metrics = comparison.on_rows(labels, probabilities, thresholds)
    edges = ", ".join(f"{name} says yes from {edge:.3f} on" for name, edge in thresholds.items())
    answering = f"Accuracy, sensitivity and specificity are those of the answers: {edges}"
    found = comparison.on_rows_minus(labels, probabilities[other], probabilities[first], margin)
    rows = [(other, found, len(labels))]
    lines = [
        *_heads(records),
        wrapped(told) + "\n",
        _shown(side_by_side.metrics(metrics), 2),
        _shown(side_by_side.pairs(rows, first)),
        wrapped(f"{answering}."),
        wrapped(f"Below 0 is better than {first}, for these two models as they are. {_margin(margin)}"),
    ]
    differences = _differences(rows, first)
    notes = [told, answering]
    facts = {"runs": records, "metrics": metrics, "thresholds": thresholds, "differences": differences, "notes": notes}

    def page() -> str:
        from heart_disease.cli.champion.comparison import of_models

        sides = [(probabilities[name], thresholds[name]) for name in (first, other)]
        return of_models(records, patients, labels, sides, notes, margin)

    return Compared(lines, facts, page)


def _margin(margin: float) -> str:
    return f"Intervals of 95 %; 'not worse' ends below {margin:g}."


def _heads(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        known = ", ".join([*record.aliases, *([f"run {record.run_id[:8]}"] if record.version else [])])
        yield wrapped(f"{record.label}{f' ({known})' if known else ''}: {record.name}")
    yield ""


def _shown(table: Cells, runs: int = 1) -> str:
    """The table within the terminal's width; many runs stand one below the other. Ends in an empty line."""
    from heart_disease.reporting import side_by_side

    table = side_by_side.transposed(table) if runs > SIDE_BY_SIDE else table
    return "\n\n".join(side_by_side.blocks(table)) + "\n"


COMMAND = Command(
    name="compare",
    help="runs side by side: recipes, metrics, differences",
    description="Put runs side by side: how their recipes differ, their metrics, and by how much each is better "
    "or worse than the first, patient by patient.",
    add=add,
    run=run,
)
