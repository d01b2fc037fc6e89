"""A store on this machine whose folder was renamed, moved or copied.

For each experiment, run and model, MLflow records where its files are, as an absolute path, and has no command to
change it. If a folder with `mlflow.db` and `mlruns` is somewhere else now, nothing in it would load, and new files
would be written to the old place. So the recorded paths are corrected, but only if the files of a recorded run, whose
ID is unique, lie in the `mlruns` beside the database.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri
from sqlalchemy import Connection, text

from heart_disease.model.errors import UnavailableError

log = logging.getLogger("heart")
FILES = "mlruns"
# Every column in which MLflow 3 records a place of files.
PLACES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


def location(name: str) -> str | None:
    """Where a new experiment's files go; None leaves that to MLflow.

    MLflow's own choice is a plain path, and it reads that as if it were quoted: in `a%20b` it means `a b`.
    """
    folder = Path.cwd() / FILES
    return (folder / name.replace(" ", "-")).as_uri() if "%" in str(folder) else None


def correct(database: Path) -> None:
    """Make the recorded paths point to the files beside `database` if that is where they are, and it can be written."""
    if not os.access(database, os.W_OK):
        return
    engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(database)))
    try:
        with engine.begin() as connection:
            for old, new in _moves(connection, database.parent / FILES):
                for table, column in PLACES.items():
                    change = f"UPDATE {table} SET {column} = :new || substr({column}, :n) "  # noqa: S608
                    where = f"WHERE substr({column}, 1, :n - 1) = :old"
                    connection.execute(text(change + where), {"old": f"{old}/", "new": f"{new}/", "n": len(old) + 2})
                log.warning("this copy of the store had its files in %s; from now on in %s", _plain(old), _plain(new))
    finally:
        engine.dispose()


def _moves(connection: Connection, here: Path) -> Iterator[tuple[str, str]]:
    """The recorded folders of files that have moved to `here`, and how `here` is to be recorded instead."""
    found = connection.execute(text("SELECT experiment_id, artifact_location FROM experiments")).all()
    done = set()
    for experiment, where in found:
        old, _, name = where.rpartition("/")
        if old in done or not is_local_uri(where) or _same(local_file_uri_to_path(old), here):
            continue
        runs = text("SELECT run_uuid FROM runs WHERE experiment_id = :experiment AND artifact_uri LIKE :old")
        for (run,) in connection.execute(runs, {"experiment": experiment, "old": f"{old}/%"}):
            if (here / local_file_uri_to_path(name) / run).is_dir():
                done.add(old)
                yield old, here.as_uri() if "%" in str(here) or old.startswith("file:") else str(here)
                break


def _plain(where: str) -> str:
    return local_file_uri_to_path(where)


def _same(one: str, other: Path) -> bool:
    return Path(one).resolve() == other.resolve()


def check(where: str) -> None:
    """Refuse to write files to a place that went away with its folder.

    Raises:
        UnavailableError: `where`, an experiment's place of files, is a path whose working folder is missing.
    """
    if not is_local_uri(where):
        return
    files = Path(local_file_uri_to_path(where)).parent
    if not files.parent.is_dir():
        raise UnavailableError(
            f"the MLflow store keeps its files in '{files}', and the folder '{files.parent}' is missing; expected it, "
            f"or the folder '{FILES}' beside the database. Move '{FILES}' there, or begin a new store elsewhere."
        )
