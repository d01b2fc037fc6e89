"""A training that is small, and good enough to become champion."""

from __future__ import annotations

from typing import Any

from heart_disease.evaluation.settings import Evaluation

QUICK: dict[str, Any] = {"evaluation": Evaluation(folds=10, repeats=5)}
