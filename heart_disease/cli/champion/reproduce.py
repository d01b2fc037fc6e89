"""`heart reproduce`: train a registered version again, and say whether the same model comes out."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_device, add_selection, not_empty
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, RejectedError, UnavailableError
from heart_disease.model.words import count
from heart_disease.reporting.terminal import import_tensorflow, say, wrapped

if TYPE_CHECKING:
    from heart_disease.registry import Record
    from heart_disease.training.recipe import Recipe


def add(parser: argparse.ArgumentParser) -> None:
    """Options: which version, from which patients, and on which device."""
    parser.add_argument("version", metavar="VERSION", help="its number or alias")
    parser.add_argument(
        "--source", metavar="SOURCE", type=not_empty, help="patients (default: those that were recorded)"
    )
    add_selection(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    """Say whether the version is reproduced: the same data, and probabilities and threshold within 1e-6.

    What has changed since then (data, code, versions of libraries, device) is printed either way.

    Raises:
        UnavailableError: there is no such version, or its run, its data or the device is gone.
        UsageError: the patients do not fit into memory.
        DataError: the file cannot be read, or it holds other data and validation refuses it.
    """
    from heart_disease import registry
    from heart_disease.evaluation import cost
    from heart_disease.evaluation.contest import with_all_columns
    from heart_disease.evaluation.versions import reproduction
    from heart_disease.model.patient_model import PatientModel

    record = registry.find_record(options.version)
    ref = record.ref
    origin = registry.origin_of(ref)
    evaluation = registry.evaluation_of(record.label, origin)
    if options.source is not None:
        table = registry.read_again(options.source, origin)
    else:
        then = f"name their file: heart reproduce {record.version} --source FILE"
        table = registry.patients_of(record.label, origin, then)
    if table.digest != origin.data:
        from expectations import gate

        validation = gate.validate(table)
        if not validation.passed:
            raise RejectedError(validation.refusal("nothing was trained"))
    rival, lost = _rival(record, len(table))
    recipes = [origin.recipe, *(one for one in (rival, with_all_columns(origin.recipe)) if one)]
    expected = cost.check(len(table), recipes, evaluation, fixed=True)
    import_tensorflow()
    patients = f"{count(len(table), 'patient')} of {table.source}"
    say(f"{patients}: training {record.label} and the other networks of its run again{expected.remark}")
    model, used = reproduction.train_again(
        table, origin.recipe, evaluation, origin.shipped.members, rival, options.device or "auto"
    )
    stored = registry.load_model(ref)
    with tempfile.TemporaryDirectory() as folder:  # store and load it: Keras and NumPy round the last bit differently
        model.save(Path(folder))
        model = PatientModel.load(Path(folder))
    # What the networks say is compared for every patient, also for codes that their training rows did not have.
    asked = (replace(one, encoder=replace(one.encoder, unseen=())) for one in (model, stored))
    ours, theirs = (one.predict(table.frame)["probability"].to_numpy() for one in asked)
    found = reproduction.agreement(ours, theirs)

    changed = origin.differences(registry.origin_here(origin.recipe, evaluation, table.digest))
    if used != origin.device:
        changed["device"] = f"{origin.device or 'unknown'} -> {used}"
    thresholds = {"recorded": stored.threshold, "today": model.threshold}
    moved = abs(model.threshold - stored.threshold) > reproduction.TOLERANCE
    same = not (found.apart or moved) and table.digest == origin.data
    ended = ExitCode.DONE if same else ExitCode.NOT_REPRODUCED
    if options.json:
        facts = {"version": ref, "reproduced": same, "agreement": found, "thresholds": thresholds}
        write_json({**facts, "changed": changed, "lost": lost})
        return ended
    print(wrapped(f"{ref.name} version {ref.version}: {origin.recipe.title}, seed {origin.recipe.seed}"))
    print(f"{'reproduced' if same else 'not reproduced'}: {found}")
    if moved:
        print(f"  other threshold: {stored.threshold:.6f} -> {model.threshold:.6f}")
    for name, words in changed.items():
        print(wrapped(f"  other {name}: {words}", indent="    "))
    if lost:
        print(wrapped(f"  {lost}", indent="    "))
    if not (same or changed or lost):
        print("  with the same data, recipe, code, versions and device")
    return ended


def _rival(record: Record, rows: int) -> tuple[Recipe | None, str]:
    """The recipe of the champion that was trained beside the version; and what is lost if it is gone."""
    from heart_disease import registry
    from heart_disease.evaluation import by_rows

    champion = record.tags.get(registry.RIVAL, "").removeprefix("version ")
    if not champion:
        return None, ""
    with suppress(UnavailableError):
        ref = registry.by_version(champion)
        # Another version may have its number by now. Runs of earlier releases recorded nothing but the number.
        if record.tags.get(registry.RIVAL_RUN, ref.run_id) == ref.run_id:
            return by_rows.recipe_for(rows, registry.origin_of(ref).asked), ""
    return None, f"version {champion}, trained beside it in the same run, is gone: that may change the last bits"


COMMAND = Command(
    name="reproduce",
    help="train a version again and compare",
    description="Train a registered version again from its recorded recipe, seed and data, and compare what the two "
    "say about every patient.",
    add=add,
    run=run,
)
