"""`heart reproduce`: train a registered version again, and say whether the same model comes out."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pydantic import ValidationError

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.data.sources import Table
from heart_disease.evaluation import reproduction
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import RejectedError, SourceError, UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import Origin, Record
from heart_disease.reporting.terminal import import_tensorflow, wrapped
from heart_disease.training.recipe import Recipe


def run(word: str, source: str | None, device: str) -> bool:
    """Whether the version is reproduced: the same data, and each patient's probability within 1e-6.

    What differs from that day (data, code, versions of libraries, device) is printed either way.

    Raises:
        UnavailableError: there is no such version, or its run, its data or the device is gone.
        DataError: the file cannot be read, or is other data and refused.
    """
    record = registry.find_record(word)
    ref = record.ref
    origin = registry.origin_of(ref)
    try:
        evaluation = Evaluation(**origin.evaluation)  # type: ignore[arg-type]
    except ValidationError as error:
        raise UnavailableError(f"the evaluation of {record.label} cannot be read from its run {ref.run_id}") from error
    table = _load(record, origin, source)
    if table.digest != origin.data:
        from expectations import gate

        verdict = gate.validate(table)
        if not verdict.passed:
            raise RejectedError(verdict.refusal("nothing was trained"))
    rival, lost = _rival(record)
    import_tensorflow()
    told = f"{len(table)} patients of {table.source}: training {record.label} and the other networks of its run again"
    print(wrapped(told), file=sys.stderr)
    model, used = reproduction.train_again(table, origin.recipe, evaluation, origin.shipped.members, rival, device)
    stored = registry.load_model(ref)
    with tempfile.TemporaryDirectory() as folder:  # stored too: Keras rounds the last bit otherwise than NumPy
        model.save(Path(folder))
        model = PatientModel.load(Path(folder))
    ours, theirs = (one.predict(table.frame)["probability"].to_numpy() for one in (model, stored))
    found = reproduction.agreement(ours, theirs)

    changed = origin.differences(registry.origin_here(origin.recipe, evaluation, table.digest))
    if used != origin.device:
        changed["device"] = f"{origin.device or 'unknown'} -> {used}"
    same = not found.apart and table.digest == origin.data
    print(wrapped(f"{ref.name} version {ref.version}: {origin.recipe.title}, seed {origin.recipe.seed}"))
    print(f"{'reproduced' if same else 'not reproduced'}: {found}")
    for name, words in changed.items():
        print(wrapped(f"  other {name}: {words}", indent="    "))
    if lost:
        print(wrapped(f"  {lost}", indent="    "))
    if not (same or changed or lost):
        print("  with the same data, recipe, code, versions and device")
    return same


def _load(record: Record, origin: Origin, source: str | None) -> Table:
    """The given file; or the recorded one; or the bundled patients, where they are what was recorded."""
    if source is not None:
        return sources.load(source)
    try:
        return sources.load(origin.source)
    except SourceError as error:
        bundled = sources.load()
        if bundled.digest == origin.data:  # recorded where the project lay elsewhere
            return bundled
        raise UnavailableError(
            f"the data of {record.label} is not where it was recorded: {error} Expected the patients of digest "
            f"{origin.data[:8]}; name their file: heart reproduce {record.version} --source FILE"
        ) from error


def _rival(record: Record) -> tuple[Recipe | None, str]:
    """The recipe of the champion that was trained beside the version; and what is lost where it is gone."""
    champion = record.tags.get("compared_with", "").removeprefix("version ")
    if not champion:
        return None, ""
    try:
        return registry.origin_of(registry.find_record(champion).ref).shipped, ""
    except UnavailableError:
        return None, f"version {champion}, trained beside it in the same run, is gone: that may change the last bits"
