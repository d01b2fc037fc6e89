"""Where the store is, what things are called in it, and one error for all the ways in which it fails.

MLflow's own variables say where (MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI); without them it is `sqlite:///mlflow.db` in
the working directory, where a bare `mlflow ui` finds it.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import mlflow
from alembic.util import CommandError
from filelock import FileLock
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from heart_disease.model.errors import UnavailableError
from heart_disease.processes import process

EXPERIMENT, SWEEPS, LESSONS = "heart-disease", "heart-disease sweeps", "heart-disease lessons"
MODEL = "heart-disease"
CHAMPION, CHALLENGER = "champion", "challenger"
# Tags of a run: who is at it, and why it was ended by another.
PROCESS, FLOW_RUN, FLOW_API, CLOSED = "process", "prefect.flow_run_id", "prefect.api_url", "closed_because"
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # how a store says that there is none
LOCAL_PAGE = "http://127.0.0.1:5000"
TRAINING = "workflowType=machine_learning"  # else a new browser shows the page's tools for language models
LIBRARIES = ("keras", "tensorflow", "numpy", "pandas", "scikit-learn", "mlflow")
# A server, a database, a migration, a disk; a folder whose name the locale cannot write.
STORE_ERRORS = (MlflowException, SQLAlchemyError, CommandError, OSError, UnicodeError)


@dataclass(frozen=True)
class Run:
    """An MLflow run that is under way.

    started: in milliseconds, what all its metrics are logged with. MLflow takes what it has already for the same, so
    that a second try writes no second history.
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
    """Where runs and models are kept; for people, without a password."""
    return hide(mlflow.get_tracking_uri())


def page() -> str:
    """Where a browser finds MLflow: HEART_MLFLOW_URL, or the tracking server, or where `heart ui` shows the store.

    The first is for servers that programs reach by another name than people; MLflow has no variable for that.
    """
    server = uri() if uri().startswith("http") else LOCAL_PAGE
    return (os.environ.get("HEART_MLFLOW_URL") or server).rstrip("/")


def run_url(run: Run) -> str:
    """The page of a run."""
    return f"{page()}/#/experiments/{run.experiment_id}/runs/{run.run_id}?{TRAINING}"


def hide(text: str) -> str:
    """The text with *** for the passwords of addresses in it: they must not come into logs, tags and messages."""
    return re.sub(r"(://[^/\s:@]*:)[^/\s@]+@", r"\1***@", text)


@contextmanager
def reachable() -> Iterator[None]:
    """What a store raises, as one error that says which store and what to do. For a block or a whole function."""
    try:
        yield
    except STORE_ERRORS as error:
        raise UnavailableError(
            f"the MLflow store {uri()} cannot be used: {first_line(error)}. Expected a writable database or a server "
            "that answers; check MLFLOW_TRACKING_URI and the folder's permissions."
        ) from error


def first_line(error: BaseException) -> str:
    """What the error says, in a line."""
    text = hide((str(error).strip() or type(error).__name__).splitlines()[0])
    return text if len(text) <= 200 else f"{text[:200]} ..."


def place() -> str:
    """Where runs and models are kept, named so that every working directory finds the same."""
    prefix = "sqlite:///"
    return f"{prefix}{Path(unquote(uri().removeprefix(prefix))).absolute()}" if uri().startswith(prefix) else uri()


def check_embedded_store() -> None:
    """Tell at once what MLflow would find out only after two minutes of trying again; make the tables if need be.

    Raises:
        UnavailableError: the folder of the SQLite file is missing, or cannot be written.
    """
    if uri().startswith("sqlite:///"):
        folder = Path(unquote(uri().removeprefix("sqlite:///"))).parent
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise UnavailableError(
                f"the MLflow store {uri()} cannot be used: '{folder}' is not a folder that can be written. Work in "
                "another folder, or set MLFLOW_TRACKING_URI."
            )
        with reachable():
            _open(place())


@cache
def _open(store: str) -> None:
    """One process after the other: if two make MLflow's tables, or renew them, at once, one of them fails."""
    with lock("store", store):
        mlflow.MlflowClient().search_experiments(max_results=1)


def lock(kind: str, what: str) -> FileLock:
    """This user's lock on `what`, in this machine's temporary folder; the system frees it when its process ends."""
    name = hashlib.sha256(what.encode()).hexdigest()[:32]
    return FileLock(Path(tempfile.gettempdir(), f"heart-{kind}-{os.getuid()}-{name}.lock"))


def user() -> str:
    """Who works here, as the operating system calls them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def author_tags() -> dict[str, str]:
    """The tags of a run that say who made it, and with what."""
    return {
        "mlflow.user": user(),
        "mlflow.source.name": "heart",
        "mlflow.source.type": "LOCAL",
        PROCESS: process.identity(),
    }


def experiment_ids() -> list[str]:
    """This project's experiments with runs. By their whole names: another's may begin with the same words."""
    found = mlflow.MlflowClient().search_experiments(filter_string=f"name LIKE '{EXPERIMENT}%'")
    return [experiment.experiment_id for experiment in found if experiment.name in (EXPERIMENT, SWEEPS, LESSONS)]
