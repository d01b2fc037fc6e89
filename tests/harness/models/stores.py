"""MLflow stores and Prefect databases for tests."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mlflow
import prefect
import pytest
from filelock import FileLock
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


def replace_database(made: Path, used: Path) -> None:
    """Give the SQLite database `used` the content of `made`; who has it open sees what another process wrote."""
    with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(used)) as target:
        source.backup(target)


@contextmanager
def store_in(folder: Path) -> Iterator[None]:
    """MLflow's store is in `folder`, which is also the working directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.chdir(folder)
        yield


def delete_for_good(run_id: str) -> None:
    """Delete a run, and then what `mlflow gc` deletes of it."""
    mlflow.MlflowClient().delete_run(run_id)
    _get_store()._hard_delete_run(run_id)


def empty_prefect_database(path: Path) -> None:
    """Copy a database without runs to `path`, so that a server that uses it need not create its tables.

    That takes 6 seconds of a core, so it is done once for each version of Prefect and kept in the temporary folder.
    """
    made = Path(tempfile.gettempdir()) / f"heart-disease-tests-{os.getuid()}" / f"prefect-{prefect.__version__}.db"
    made.parent.mkdir(exist_ok=True)
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=made.parent) as home:
                new = Path(home) / "prefect.db"
                subprocess.run(
                    [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"], check=True,
                    env=os.environ | {"PREFECT_HOME": home, "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{new}"},
                )  # fmt: skip
                with closing(sqlite3.connect(new)) as database:
                    database.execute("PRAGMA journal_mode = DELETE")  # so that all of it is in this one file
                new.replace(made)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(made, path)
