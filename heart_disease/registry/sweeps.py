"""Sweeps: one run for the search, and one below it for each configuration.

Configurations come in batches. A batch's runs are written first, and its numbers (an .npz file in `batches/` of the
search's run) last. So a batch that has its file is complete, and a stopped search goes on with the others.

A machine never runs the same search twice at once. Two machines that share a server do not know of each other: both
find the same, but may list a configuration twice.
"""

from __future__ import annotations

import io
import math
import re
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from zipfile import BadZipFile

import mlflow
import numpy as np
from filelock import Timeout
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from numpy.typing import NDArray

from heart_disease.model.errors import UnavailableError
from heart_disease.registry.access.store import SWEEPS, Run, author_tags, check_embedded_store, lock, place, reachable
from heart_disease.registry.runs import BATCH, log_files, open_run

ABOUT_SWEEPS = (
    "A run for each search of recipes (`heart sweep`), and below it one for each configuration. "
    "The newest search as a table, the best configuration first, and as charts: Views, above the runs."
)
IDENTITY = "sweep"  # a tag: the digest of everything that decides what a search finds
CUT_SHORT = (BadZipFile, zlib.error, EOFError, ValueError)  # what numpy raises for an incomplete file
Arrays = Mapping[str, NDArray[np.float32]]


@contextmanager
def open_sweep(name: str, identity: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """The run of the search with this identity, as it was left; a new run if there is none. See `open_run`.

    Raises:
        UnavailableError: another process of this machine runs this search, or the store cannot be used.
    """
    check_embedded_store(to_write=True)
    tags = {**tags, IDENTITY: identity}
    with _alone(identity), open_run(name, tags, experiment=SWEEPS, about=ABOUT_SWEEPS, resume=_find(identity)) as run:
        yield run


@contextmanager
def _alone(identity: str) -> Iterator[None]:
    """Hold the search's lock, and remove its file at the end."""
    held = lock("sweep", f"{place()} {identity}")
    try:
        held.acquire(blocking=False)
    except Timeout as error:
        raise UnavailableError(
            "this very search is running in another process. Wait for it, or stop it there; then the same command "
            "goes on from where it was."
        ) from error
    try:
        yield
    finally:
        Path(held.lock_file).unlink(missing_ok=True)
        held.release()


def _find(identity: str) -> str | None:
    with reachable():
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name(SWEEPS)
        if experiment is None:
            return None
        found = client.search_runs(
            [experiment.experiment_id], f"tags.`{IDENTITY}` = '{identity}'", ViewType.ACTIVE_ONLY, max_results=1
        )
        return found[0].info.run_id if found else None


@reachable()
def read_batches(run: Run) -> dict[int, Arrays]:
    """The numbers of the complete batches, as given to `log_batch`; a file that was cut short does not count."""
    client = mlflow.MlflowClient()
    found: dict[int, Arrays] = {}
    for file in client.list_artifacts(run.run_id, "batches"):
        number = re.fullmatch(r"batches/(\d+)\.npz", file.path)
        if number:
            with tempfile.TemporaryDirectory() as folder, suppress(*CUT_SHORT):
                path = client.download_artifacts(run.run_id, file.path, folder)
                with np.load(path, allow_pickle=False) as arrays:
                    found[int(number[1])] = dict(arrays)
    return found


@reachable()
def log_configuration(
    run: Run,
    name: str,
    tags: Mapping[str, str],
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    curves: Mapping[str, Sequence[float]],
) -> None:
    """Log one configuration below the search's run; curves have a value for each epoch from 1."""
    client, now = mlflow.MlflowClient(), int(time.time() * 1000)
    below = {**author_tags(), **tags, MLFLOW_PARENT_RUN_ID: run.run_id}
    run_id = client.create_run(run.experiment_id, now, below, name).info.run_id
    values = [Metric(key, value, now, 0) for key, value in metrics.items()]
    values += [Metric(key, float(v), now, epoch) for key, curve in curves.items() for epoch, v in enumerate(curve, 1)]
    values = [value for value in values if math.isfinite(value.value)]  # a network that diverged has no curve
    client.log_batch(run_id, values, [Param(key, value) for key, value in params.items()], synchronous=True)
    client.set_terminated(run_id)


@reachable()
def log_batch(run: Run, number: int, arrays: Arrays) -> None:
    """Write the numbers of a batch, after all its configurations have been logged."""
    file = io.BytesIO()
    np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]
    log_files(run, "batches", {f"{number:04}.npz": file.getvalue()})


@reachable()
def forget_batch(run: Run, number: int) -> None:
    """Delete the runs that an interrupted batch left below the search's run."""
    client = mlflow.MlflowClient()
    filters = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.run_id}' and tags.batch = '{number}'"
    for left in client.search_runs([run.experiment_id], filters, max_results=BATCH):
        client.delete_run(left.info.run_id)


@reachable()
def log_search(run: Run, params: Mapping[str, str], metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
    """Log what the search was set to and what it found."""
    mlflow.MlflowClient().log_batch(
        run.run_id,
        [Metric(key, value, run.started, 0) for key, value in metrics.items()],
        [Param(key, value) for key, value in params.items()],
        [RunTag(key, value) for key, value in tags.items()],
        synchronous=True,
    )


@reachable()
def tag_configuration(run: Run, params: Mapping[str, str], tags: Mapping[str, str]) -> str:
    """Tag the search's configuration that has these parameters; returns its run id, or the search's if it is gone."""
    client = mlflow.MlflowClient()
    filters = [f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.run_id}'"]
    filters += [f"params.`{name}` = '{value}'" for name, value in params.items()]
    for found in client.search_runs([run.experiment_id], " and ".join(filters), max_results=1):
        client.log_batch(found.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()], synchronous=True)
        return found.info.run_id
    return run.run_id  # someone deleted it
