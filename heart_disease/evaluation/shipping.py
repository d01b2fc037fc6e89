"""From the networks of a training to the model that is registered: those that learned from all rows, and an encoder."""

from __future__ import annotations

from dataclasses import replace

from heart_disease.data import sources
from heart_disease.data.sources import Table
from heart_disease.evaluation import evaluate
from heart_disease.evaluation.evaluate import Splits
from heart_disease.model.encoding import Encoder, input_names
from heart_disease.model.patient_model import PatientModel
from heart_disease.training.batches import Job
from heart_disease.training.engine import Networks
from heart_disease.training.recipe import Recipe


def rivals(champion: Recipe, splits: Splits, rows: int, seed: int) -> list[Job]:
    """The champion's recipe on the same folds, from the challenger's seed: the two then differ in nothing else."""
    return evaluate.jobs(replace(champion, seed=seed), splits, rows)[: len(splits.pairs) * champion.members]


def ship(table: Table, networks: Networks, splits: Splits, members: int) -> PatientModel:
    """The model of `networks`, which are in the order of `evaluate.jobs` for so many members."""
    shipped = networks[len(splits.pairs) * members if len(splits.pairs) > 1 else 0 :]
    rows = table.frame.iloc[shipped.jobs[0].rows]
    network = shipped.keras_average(len(input_names()))
    return PatientModel(Encoder.fit(rows), network, learned_from=frozenset(sources.patient_ids(rows)))
