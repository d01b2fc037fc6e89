"""Encode: Table -> Contest, with the networks' inputs."""

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
    columns, inputs = len(schema.COLUMNS) - len(recipe.without), count(recipe.widths[0], "input")
    log.info("encode    %s -> %s, scaled by each fold's training rows", count(columns, "column"), inputs)
    return contest
