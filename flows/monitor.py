"""Compare a batch of patients with those that a version learned from: load -> validate -> score -> compare."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated

from prefect import flow, runtime
from pydantic import Field

from expectations.failure import Failure
from heart_disease import registry
from heart_disease.data.remote import addresses
from heart_disease.evaluation.other_patients.drift import Drift
from heart_disease.model.words import count
from heart_disease.operations import missed, reconciliation
from heart_disease.registry import Run
from heart_disease.reporting.terminal import import_tensorflow, progress
from tasks import stages


@dataclass(frozen=True)
class Found:
    """What was found in a batch.

    version: what it was compared with, in words. known: how many patients of the batch the version learned from; they
    are left out. broken: the rules that cells or columns of the batch break.
    """

    run: Run
    flow_run_id: str
    version: str
    source: str
    known: int
    broken: tuple[Failure, ...]
    drift: Drift

    @property
    def end(self) -> str:
        """How the flow run ends (states.py)."""
        return "Drifted" if self.broken or self.drift.shifted else "NoDrift"

    @property
    def message(self) -> str:
        """The message of the flow run's final state."""
        patients = f"{count(self.drift.rows, 'patient')} of {addresses.name(self.source)}"
        found = [count(len(self.broken), "broken rule")] if self.broken else []
        found += [", ".join(test.what for test in self.drift.shifted)] if self.drift.shifted else []
        if found:
            return f"{patients} differ from those that {self.version} learned from: {'; '.join(found)}"
        return f"{patients}: no difference from those that {self.version} learned from was found"


@flow(
    name="heart-disease-monitor",
    flow_run_name=lambda: f"monitor {addresses.title(runtime.flow_run.get_parameters()['source'])}",
    description="Compare a batch of patients with those that the champion learned from.",
    persist_result=False,
    validate_parameters=True,
)
def monitor(
    source: Annotated[str, Field(description="File, folder or address of patients, with or without their diagnosis.")],
    version: Annotated[str, Field(description="What to compare with: a version's number or alias.")] = "champion",
    read_as: Annotated[str | None, Field(description="The copy whose codes it has (docs/copies.md).")] = None,
    force: Annotated[bool, Field(description="Believe `read_as`, whatever the patients and their codes say.")] = False,
) -> Found:
    """Say whether the patients of `source` differ from those that a version learned from.

    It ends as Drifted or NoDrift; the event heart.flow-run.Drifted can start an automation, such as a retraining.

    Raises:
        DataError: the source cannot be read, lacks a column, or has too few patients that are new.
        UnavailableError: there is no such version, what it learned from is gone, or the store does not answer.
    """
    with progress() if runtime.deployment.id else nullcontext():  # otherwise the calling command shows it
        return missed.ended(lambda: pipeline(source, version, read_as, force))


def pipeline(source: str, version: str, read_as: str | None, force: bool) -> Found:
    """Do the whole job in order, within a flow run; it raises the same errors as `monitor`."""
    flow_run, tags = runtime.flow_run.id or "", reconciliation.check_in()
    record = registry.find_record(version)
    title = f"{record.ref.name} version {record.version}"
    origin = registry.origin_of(record.ref)
    before = registry.patients_of(title, origin, "put them back, or train on patients that stay")
    table = stages.load(source, read_as, force)
    import_tensorflow()
    name = f"{addresses.title(table.source)}: {title}"
    tags |= registry.source_tags(table, read_as)
    with registry.open_run(name, tags, experiment=registry.MONITORING, about=registry.ABOUT_MONITORING) as run:
        known, broken, drift = stages.compare(run, table, before, record)
        found = Found(run, flow_run, title, table.source, known, broken, drift)
        registry.log_tags(run, {"outcome": found.end, "version": record.version, "mlflow.note.content": found.message})
    return found
