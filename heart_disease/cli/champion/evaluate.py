"""`heart evaluate`: how good a registered version is on the patients of another hospital."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_copy, add_selection
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.data.sites import SITES
from heart_disease.model import schema
from heart_disease.model.errors import ExitCode, RejectedError, SourceError, UnavailableError
from heart_disease.model.words import count
from heart_disease.reporting.terminal import wrapped

if TYPE_CHECKING:
    from heart_disease.data.sources import Table
    from heart_disease.evaluation.other_patients.hospital import Judgement
    from heart_disease.registry import Record

ANYWAY = "To judge it all the same: --anyway"
HOME = "training, out of fold"


def add(parser: argparse.ArgumentParser) -> None:
    """Options: which version, and on which patients."""
    parser.add_argument(
        "source", metavar="SOURCE",
        help=f"a hospital of the study ({', '.join(SITES)}), or a file, folder, pattern or address of patients, in UCI "
        "codes and with the label",
    )  # fmt: skip
    add_selection(parser)
    add_copy(parser)
    parser.add_argument("--model", metavar="VERSION", help="its number or alias (default: the champion)")
    parser.add_argument(
        "--anyway", action="store_true",
        help="judge it even if the file as a whole seems to be in other codes, or its label inverted, or not to be the "
        "copy that --copy names",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Judge the version on the patients that it can score and did not learn from, and log that in MLflow.

    Raises:
        DataError: the file cannot be read, lacks a column, is wrong as a whole, or has too few such patients.
        UnavailableError: there is no such version, its record is gone, or the store cannot be written.
    """
    from heart_disease.data.remote import addresses
    from heart_disease.reporting import hospital as words

    place = SITES.get(options.source)
    if not place and options.source.replace("-", "").isalpha() and not Path(options.source).exists():
        raise SourceError(
            f"'{options.source}' is no hospital of the study, and there is no such file; expected {', '.join(SITES)}, "
            "or a file of patients."
        )
    table = _read(place or options.source, options.copy, options.anyway)
    name = options.source if place else addresses.title(table.source)
    if schema.LABEL.name not in table.frame:
        raise RejectedError(
            f"'{table.source}' lacks the column '{schema.LABEL.name}'; a model is judged on patients with a label: "
            f"{schema.LABEL.meaning}."
        )
    from heart_disease import registry

    record = registry.find_record(options.model or registry.champion().version)
    ref = record.ref
    judgements, notes = _judgements(record, table, name, options.anyway)
    judgement = next(iter(judgements.values()))
    if judgement.is_backwards and not options.anyway:
        raise RejectedError(
            f"'{table.source}' was not judged: {ref.name} version {ref.version} orders its patients worse than chance, "
            f"ROC AUC {judgement.metrics['roc_auc']}; expected a label above 0 for heart disease. It is probably "
            f"inverted: see docs/copies.md. {ANYWAY}"
        )
    notes += words.remarks(judgement)
    described = "\n\n".join([words.markdown(judgements), *notes])
    logged = registry.log_hospital(ref, table, name, words.values(judgement), described, options.copy)

    if options.json:
        facts = {"version": ref, "source": table.source, "digest": table.digest, "rows": len(table)}
        copy = table.finding.title if table.finding else None
        write_json({**facts, "copy": copy, "judged": judgements, "notes": notes, "page": registry.run_url(logged)})
        return ExitCode.DONE
    for line in table.finding.lines() if table.finding else ():
        print(wrapped(line))
    if table.blank_lines:
        print(f"{count(table.blank_lines, 'blank row')} left out")
    aliases = f" ({', '.join(record.aliases)})" if record.aliases else ""
    print(wrapped(f"{ref.name} version {ref.version}{aliases}: {record.name}"))
    print(wrapped(f"{name}: {judgement.patients} of {len(table)} patients judged") + "\n")
    print(words.text(judgements) + "\n")
    for note in notes:
        print(wrapped(note, indent="    "))
    print(f"\n  {registry.run_url(logged)}")
    return ExitCode.DONE


def _read(source: str | Path, copy: str | None, anyway: bool) -> Table:
    """The patients; `anyway`: of what would be refused, the codes are taken for UCI's, or for those of `copy`."""
    from heart_disease.data import files, sources

    file = files.look(source)
    try:
        return sources.from_file(file, copy=copy, force=anyway)
    except RejectedError as error:
        if not anyway:
            raise RejectedError(f"{error}\n{ANYWAY}") from error
        return sources.from_file(file, copy=copy or "uci", force=True)


def _judgements(record: Record, table: Table, name: str, anyway: bool) -> tuple[dict[str, Judgement], list[str]]:
    """The version on these patients, and then on its own, by the title of the column; and what has to be said of it.

    On its own patients a version has only out-of-fold probabilities; there are none in runs of older releases.
    """
    from heart_disease import registry
    from heart_disease.evaluation.other_patients import hospital
    from heart_disease.reporting import hospital as words

    seed, model = int(record.params.get("seed", 0)), registry.load_model(record.ref)
    home = _at_home(record, seed, model.threshold)
    if table.digest == record.params.get("data_digest"):
        if home is None:
            raise UnavailableError(
                f"{record.label} learned from these patients, and its run {record.run_id} has no out-of-fold "
                "probabilities of them. Judge it on other patients, or train it again."
            )
        return {HOME: home}, ["The version learned from these patients; networks judge them that had not seen them."]
    if not (table.finding or Path(table.source) in SITES.values()):
        _check_codes(table, model.columns, anyway)
    found = hospital.judge_there(model, table, seed)
    notes = words.left_out(found, len(table))
    if not len(model.learned_from):
        notes.append("The version does not say which patients it learned from; some may be among these.")
    return {name: found.judgement} | ({HOME: home} if home else {}), notes


def _check_codes(table: Table, taken: Collection[str], anyway: bool) -> None:
    """Refuse a table whose rows are doubtful even if they break no rule; `anyway`: only say why.

    taken: the columns that the model takes.
    """
    from expectations import gate

    validation = gate.validate(table)
    doubts = validation.doubts_about(taken)
    if doubts and not anyway:
        raise RejectedError(f"{validation.refusal('nothing was judged', doubts)}\n{ANYWAY}")
    for failure in doubts:
        print(wrapped(failure.message()), file=sys.stderr)


def _at_home(record: Record, seed: int, threshold: float) -> Judgement | None:
    """The version on its training data, by its out-of-fold probabilities; None if its run has none.

    threshold: the version's own, from which on it answers yes.
    """
    from heart_disease import registry
    from heart_disease.evaluation.other_patients import hospital
    from heart_disease.evaluation.versions import comparison
    from heart_disease.reporting import tables

    text = registry.read_text(record, f"evaluation/{tables.OUT_OF_FOLD}")
    try:
        found = comparison.read_out_of_fold(text or "")
    except ValueError:
        return None
    return hospital.judge(found.labels, found.probabilities, seed, threshold)


COMMAND = Command(
    name="evaluate",
    help="judge the champion on the patients of another hospital",
    description="Judge a registered version on the patients of a hospital: discrimination and calibration, with "
    "intervals, on those that it can score, and why it cannot score the others.",
    add=add,
    run=run,
)
