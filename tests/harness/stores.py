"""MLflow stores for tests."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
from mlflow.tracking._tracking_service.utils import _get_store


def copy_store(made: Path, folder: Path) -> None:
    """Copy a store (`mlflow.db` and `mlruns` in `made`) into `folder`, and make its file addresses point there."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info('{table}')").fetchall():
                if kind.upper().startswith(("VARCHAR", "TEXT")):
                    change = f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?)'  # noqa: S608
                    database.execute(change, (str(made), str(folder)))


def delete_for_good(run_id: str) -> None:
    """Delete a run, and then what `mlflow gc` deletes of it."""
    mlflow.MlflowClient().delete_run(run_id)
    _get_store()._hard_delete_run(run_id)
