"""Where the store is, what things in it are called, and one error for all its failures.

MLflow's own variables say where it is (MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI); without them it is
`sqlite:///mlflow.db` in the working directory, where a bare `mlflow ui` finds it.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
from alembic.util import CommandError
from filelock import FileLock
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from heart_disease.model.errors import UnavailableError, hide
from heart_disease.processes import process
from heart_disease.registry.access import drivers, failures, moved

EXPERIMENT, SWEEPS, LESSONS = "heart-disease", "heart-disease sweeps", "heart-disease lessons"
MONITORING = "heart-disease monitoring"
HOSPITALS = "heart-disease hospitals"
MODEL = "heart-disease"
CHAMPION, CHALLENGER = "champion", "challenger"
FORMER, NOT_PROMOTED = "former champion", "not promoted"  # with "champion", what a version says that it is
JUDGED = "judged_run"  # tag of a run that judged a version on a hospital: the run that made the version
# Tags of a run: the process that works on it, its flow run, and why another process ended it.
PROCESS, FLOW_RUN, FLOW_API, CLOSED = "process", "prefect.flow_run_id", "prefect.api_url", "closed_because"
SQLITE = "sqlite:///"
LOCAL_PAGE = "http://127.0.0.1:5000"
TRAINING = "workflowType=machine_learning"  # without it, a new browser shows MLflow's tools for language models
LIBRARIES = ("keras", "tensorflow", "numpy", "pandas", "scikit-learn", "mlflow")
# Failures of a server, a database, a migration or a disk; a folder whose name the locale cannot write.
STORE_ERRORS = (MlflowException, SQLAlchemyError, CommandError, OSError, UnicodeError)


@dataclass(frozen=True)
class Run:
    """An MLflow run that is under way.

    started: in milliseconds; all its metrics are logged with this time. MLflow ignores a point that it already has, so
    a second try writes no second history.
    """

    run_id: str
    experiment_id: str
    started: int


@dataclass(frozen=True)
class ModelRef:
    """A registered version, and the run that made it."""

    name: str
    version: str
    run_id: str


def uri() -> str:
    """Where runs and models are kept, for people: without the password."""
    return hide(mlflow.get_tracking_uri())


def page() -> str:
    """Where a browser finds MLflow: HEART_MLFLOW_URL, or the tracking server, or where `heart ui` shows the store.

    HEART_MLFLOW_URL is for servers that programs reach by another name than people; MLflow has no variable for it.
    """
    server = uri() if uri().startswith("http") else LOCAL_PAGE
    return hide(os.environ.get("HEART_MLFLOW_URL") or server).rstrip("/")


def run_url(run: Run) -> str:
    """The page of a run."""
    return f"{page()}/#/experiments/{run.experiment_id}/runs/{run.run_id}?{TRAINING}"


def file_url(run: Run, path: str) -> str:
    """The page of a file among the run's artifacts."""
    return f"{page()}/{file_link(run, path)}"


def file_link(run: Run, path: str) -> str:
    """The same as a link within MLflow's pages, which works wherever they are."""
    return f"#/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/{path}"


def is_missing(error: MlflowException) -> bool:
    """Whether the store says that there is no such thing, or that this can be no name of one."""
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def unless_missing(call: Callable[..., Any], *arguments: str) -> Any:
    """What one of MLflow's calls returns; None if there is no such thing."""
    try:
        return call(*arguments)
    except MlflowException as error:
        if is_missing(error):
            return None
        raise


@contextmanager
def reachable() -> Iterator[None]:
    """Turn what a store raises into one error that says which store and what to do. For a block or a function."""
    try:
        yield
    except STORE_ERRORS as error:
        words = failures.in_words(error)
        raise UnavailableError(
            hide(f"the MLflow store {uri()} cannot be used: {words}{failures.advice(error)}")
        ) from error
    except Exception as error:
        package = drivers.package(error)
        if not package:
            raise
        raise UnavailableError(
            f"the MLflow store {uri()} cannot be used: {failures.in_words(error)} {drivers.advice(error, package)}"
        ) from error


def place() -> str:
    """Where runs and models are kept, named so that it means the same in every working directory."""
    return f"{SQLITE}{database().absolute()}" if uri().startswith(SQLITE) else uri()


def check_embedded_store(*, to_write: bool = False) -> None:
    """Report at once what MLflow would report only after two minutes of retries; make the tables if they are missing.

    Raises:
        UnavailableError: the folder of the SQLite file is missing; or the store cannot be written and has to be,
            `to_write` or because there is no file yet.
    """
    if uri().startswith(SQLITE):
        file, problem = database(), ""
        if not file.parent.is_dir():
            problem = f"there is no folder '{file.parent}'"
        elif not is_writable() and to_write:
            problem = f"'{file}' may be read, but not written. Expected a file and a folder that this user can write"
        elif not is_writable() and not file.is_file():
            problem = f"there is no file '{file}', and none can be made there"
        if problem:
            raise UnavailableError(
                f"the MLflow store {uri()} cannot be used: {problem}. Work in another folder, or set "
                "MLFLOW_TRACKING_URI."
            )
        with reachable():
            _open(place())


def is_writable() -> bool:
    """Whether this user can write the embedded store; True for every other store, which says no when it is asked."""
    if not uri().startswith(SQLITE):
        return True
    file = database()
    if make_url(uri()).query.get("mode") == "ro":
        return False
    return os.access(file.parent, os.W_OK) and (not file.exists() or os.access(file, os.W_OK))


def database() -> Path:
    """The file of the embedded store, also if SQLite gets it as an address (`file:NAME?mode=ro&uri=true`)."""
    return Path((make_url(uri()).database or "").removeprefix("file:"))


@cache
def _open(store: str) -> None:
    """Open the store under a lock: if two processes make or upgrade MLflow's tables at once, one of them fails."""
    with lock("store", store):
        mlflow.MlflowClient().search_experiments(max_results=1)
        if is_writable():
            moved.correct(Path(store.removeprefix(SQLITE)))


def lock(kind: str, what: str) -> FileLock:
    """This user's lock on `what`, in this machine's temporary folder; the system frees it when its process ends."""
    name = hashlib.sha256(what.encode()).hexdigest()[:32]
    return FileLock(Path(tempfile.gettempdir(), f"heart-{kind}-{os.getuid()}-{name}.lock"))


def user() -> str:
    """The user's name in the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def author_tags() -> dict[str, str]:
    """The tags of a run that say who made it and with what."""
    return {
        "mlflow.user": user(),
        "mlflow.source.name": "heart",
        "mlflow.source.type": "LOCAL",
        PROCESS: process.identity(),
    }


def experiment_ids() -> list[str]:
    """This project's experiments with runs, by full name: another project's may begin with the same words."""
    found = mlflow.MlflowClient().search_experiments(filter_string=f"name LIKE '{EXPERIMENT}%'")
    own = (EXPERIMENT, SWEEPS, LESSONS, MONITORING, HOSPITALS)
    return [experiment.experiment_id for experiment in found if experiment.name in own]
