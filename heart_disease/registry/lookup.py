"""Finds runs and versions by what a person types, and reads what they recorded.

Every word is tried as an alias, a version number, a run id or its beginning, and the name of a run.
"""

from __future__ import annotations

import string
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import mlflow
from mlflow.exceptions import MlflowException

from heart_disease.model.errors import UnavailableError, UsageError
from heart_disease.registry.access.store import (
    CHALLENGER,
    CHAMPION,
    EXPERIMENT,
    MODEL,
    ModelRef,
    check_embedded_store,
    is_missing,
    reachable,
    uri,
)

PREFIX = 4  # the fewest characters that may stand for a run id
VERSION = 6  # a number with more digits is tried as a run id, not as a version
LISTED = 10


@dataclass(frozen=True)
class Record:
    """What a run recorded, by name.

    version: the one that the run made (the newest if several), empty if none. aliases: those of that version.
    """

    run_id: str
    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    version: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``version 3``, or ``run 0baff250``."""
        return f"version {self.version}" if self.version else f"run {self.run_id[:8]}"

    @property
    def ref(self) -> ModelRef:
        """The version that the run made.

        Raises:
            UsageError: the run made no version.
        """
        if not self.version:
            raise UsageError(
                f"{self.label} ('{self.name}') made no version of '{MODEL}'; expected a registered version, by its "
                "number or alias."
            )
        return ModelRef(MODEL, self.version, self.run_id)


@dataclass(frozen=True)
class _Registered:
    """The versions of the model: run ids by version, versions by alias."""

    versions: Mapping[str, str]
    aliases: Mapping[str, str]

    def in_words(self) -> str:
        if not self.versions:
            return f"'{MODEL}' in {uri()} has no version; run `heart train` first, or set MLFLOW_TRACKING_URI"
        newest = list(self.versions)[-LISTED:]
        versions = ", ".join([*(["..."] if len(newest) < len(self.versions) else []), *newest])
        aliases = ", ".join(f"{alias} (= {version})" for alias, version in sorted(self.aliases.items())) or "none"
        return f"there are the versions {versions}, and the aliases {aliases}"


@reachable()
def find_record(word: str) -> Record:
    """The run of a version number, an alias, a run id or its first 4 or more characters, or the name of one run.

    Raises:
        UnavailableError: there is no such run, or the store does not answer.
        UsageError: `word` matches more than one run.
    """
    check_embedded_store()
    registered = _registered()
    if word in registered.aliases:
        return _of_version(registered.aliases[word], registered)
    if word.isdecimal() and len(word) <= VERSION:
        if word not in registered.versions:
            raise UnavailableError(f"no version {word}: {registered.in_words()}.")
        return _of_version(word, registered)
    found = _search(word)
    if not found:
        raise UnavailableError(
            f"no run '{word}'; expected a version, an alias, a run id or its first {PREFIX} or more characters, or "
            f"the name of a run of '{EXPERIMENT}': {registered.in_words()}."
        )
    if len(found) > 1:
        records = [_record(run, registered) for run in found[:LISTED]]
        which = ", ".join(f"{run.run_id[:12]} ({run.label}, '{run.name}')" for run in records)
        rest = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise UsageError(f"'{word}' may be {len(found)} runs: {which}{rest}. Name one by its version or id.")
    return _record(found[0], registered)


@reachable()
def two_records() -> tuple[Record, Record]:
    """The champion and the challenger; if these are not two versions, the two newest, the older first.

    Raises:
        UnavailableError: there are fewer than two versions, or the store does not answer.
    """
    check_embedded_store()
    registered = _registered()
    pair = [registered.aliases[alias] for alias in (CHAMPION, CHALLENGER) if alias in registered.aliases]
    if len(set(pair)) < 2:
        pair = list(registered.versions)[-2:]
    if len(pair) < 2:
        then = " Train another one." * len(pair)
        raise UnavailableError(f"expected two versions to compare: {registered.in_words()}.{then}")
    return _of_version(pair[0], registered), _of_version(pair[1], registered)


def read_text(record: Record, path: str) -> str | None:
    """The text of a file of the run's artifacts; None if there is no such file."""
    content = read_bytes(record, path)
    return None if content is None else content.decode()


@reachable()
def read_bytes(record: Record, path: str) -> bytes | None:
    """A file of the run's artifacts; None if there is no such file."""
    files = mlflow.MlflowClient().list_artifacts(record.run_id, str(PurePosixPath(path).parent))
    if path not in [file.path for file in files]:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return Path(mlflow.artifacts.download_artifacts(f"runs:/{record.run_id}/{path}", dst_path=folder)).read_bytes()


@reachable()
def read_curve(record: Record, name: str) -> list[float]:
    """A curve that the run recorded, such as ``loss/train``: its value at each epoch; empty if there is none."""
    history = mlflow.MlflowClient().get_metric_history(record.run_id, name)
    return [point.value for point in sorted(history, key=lambda point: point.step)]


def _registered() -> _Registered:
    client = mlflow.MlflowClient()
    try:
        aliases = client.get_registered_model(MODEL).aliases
    except MlflowException as error:
        if not is_missing(error):
            raise
        return _Registered({}, {})
    found = sorted(client.search_model_versions(f"name = '{MODEL}'"), key=lambda version: int(version.version))
    return _Registered(
        {str(version.version): version.run_id or "" for version in found},
        {alias: str(version) for alias, version in aliases.items()},
    )


def _of_version(version: str, registered: _Registered) -> Record:
    run_id = registered.versions[version]
    try:
        run = mlflow.MlflowClient().get_run(run_id)
    except MlflowException as error:
        if not is_missing(error):
            raise
        raise UnavailableError(
            f"the run {run_id or '(none)'} of {MODEL} version {version} is gone, and its record with it; expected the "
            "run that made it. Take another version."
        ) from error
    return _record(run, registered, version)


def _record(run: mlflow.entities.Run, registered: _Registered, version: str = "") -> Record:
    made = [number for number, run_id in registered.versions.items() if run_id == run.info.run_id]
    version = version or (made[-1] if made else "")
    aliases = tuple(sorted(alias for alias, number in registered.aliases.items() if number == version))
    data = run.data
    return Record(run.info.run_id, run.info.run_name, data.params, data.metrics, data.tags, version, aliases)


def _search(word: str) -> list[mlflow.entities.Run]:
    """The runs with this name, and those whose id starts with the word; newest first."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if not experiment:
        return []
    quote = "'" if '"' in word else '"'
    filters = [f"attributes.run_name = {quote}{word}{quote}"] if quote not in word else []
    beginning = word.lower()
    if len(beginning) >= PREFIX and set(beginning) <= set(string.hexdigits):  # so it holds no SQL wildcard
        filters.append(f"attributes.run_id LIKE '{beginning}%'")
    found = [run for one in filters for run in client.search_runs([experiment.experiment_id], one, max_results=1000)]
    return list({run.info.run_id: run for run in found}.values())
