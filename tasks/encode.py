"""Encode: Table -> Contest, with the network's inputs once for each fold."""

from __future__ import annotations

import logging

from heart_disease.data.sources import Table
from heart_disease.evaluation.contest import Contest
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model import schema
from heart_disease.model.words import count
from heart_disease.training.recipe import Recipe

log = logging.getLogger("heart")


def encode_patients(table: Table, recipe: Recipe, evaluation: Evaluation, rival: Recipe | None) -> Contest:
    """Cut the folds, and encode the patients for each of them with what its training rows say.

    Raises:
        UsageError: there are too few patients for the folds.
    """
    contest = Contest.on(table.frame, recipe, evaluation, rival)
    inputs = contest.inputs.shape[2]
    log.info("encode    %s -> %s, once for each fold", count(len(schema.COLUMNS), "column"), count(inputs, "input"))
    return contest
