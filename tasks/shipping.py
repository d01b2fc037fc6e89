"""From the networks of a training to the model that is registered: those that learned from all rows, and an encoder."""

from __future__ import annotations

from dataclasses import replace

from tasks import evaluate, sources
from tasks.batches import Job
from tasks.encode import Encoder, input_names
from tasks.evaluate import Splits
from tasks.params import Params
from tasks.patient_model import PatientModel
from tasks.sources import Table
from tasks.training import Networks


def rivals(champion: Params, splits: Splits, rows: int, seed: int) -> list[Job]:
    """The champion's recipe on the same folds, from the challenger's seed: the two then differ in nothing else."""
    return evaluate.jobs(replace(champion, seed=seed), splits, rows)[: len(splits.pairs) * champion.members]


def ship(table: Table, networks: Networks, splits: Splits, members: int) -> PatientModel:
    """The model of `networks`, which are in the order of `evaluate.jobs` for so many members."""
    shipped = networks[len(splits.pairs) * members if len(splits.pairs) > 1 else 0 :]
    rows = table.frame.iloc[shipped.jobs[0].rows]
    network = shipped.keras_average(len(input_names()))
    return PatientModel(Encoder.fit(rows), network, learned_from=frozenset(sources.patient_ids(rows)))
