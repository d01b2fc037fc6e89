"""Small trainings, and what those can do without that are about something else: two processes, and the figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import mlflow
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.evaluation.settings import Evaluation

QUICK: dict[str, Any] = {"evaluation": Evaluation(folds=10, repeats=5)}  # good enough to become champion


@contextmanager
def checked_here() -> Iterator[None]:
    """Versions are loaded back in this process, and not over HTTP.

    That saves 10 seconds of a core for each version. The two processes are tested by tests/registry/test_shipped.py,
    tests/serving/test_rehearsal.py and every training that runs as a whole program.
    """
    from heart_disease.cli.champion import moves
    from tasks import register

    class Here:
        def predict(self, folder: Path, patients: pd.DataFrame) -> pd.DataFrame:
            scored: pd.DataFrame = mlflow.pyfunc.load_model(str(folder)).predict(patients)
            return scored

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "stranger", lambda: nullcontext(Here()))
        for user in (register, moves):
            patch.setattr(user, "fresh_process", lambda: nullcontext(Mock()))
        yield


@contextmanager
def undrawn() -> Iterator[None]:
    """The figures of a training are empty. Drawing them takes a sixth of a small training's time."""
    from heart_disease.reporting import figures
    from heart_disease.reporting.report import report_figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_figures, "_svg", lambda *_, **__: '<svg xmlns="http://www.w3.org/2000/svg"/>')
        patch.setattr(figures, "_png", lambda *_: b"")
        yield
