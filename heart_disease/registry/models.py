"""Registered models: makes a version, loads it back and compares it, finds it by its alias or number."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from heart_disease.model import folds, schema
from heart_disease.model.errors import UnavailableError, hide
from heart_disease.model.patient_model import FILES, PatientModel, difference
from heart_disease.registry import uploads
from heart_disease.registry.access import failures
from heart_disease.registry.access.artifacts import DIGEST, differing, digest_of, download, fetched
from heart_disease.registry.access.store import (
    CHALLENGER,
    MODEL,
    NOT_PROMOTED,
    ModelRef,
    Run,
    is_missing,
    reachable,
    unless_missing,
    uri,
)
from heart_disease.registry.shipped import Stranger

DESCRIPTION = (
    "Probability of heart disease (over 50 % narrowing of a major vessel) from patients in UCI codes. "
    "The alias `champion` is the version to use."
)
RULE, LONGEST = "\n\n---\n\n", 5000  # what is above a card; the characters of a description that MLflow's stores hold
SAME = 1e-6  # probabilities that differ by at most this are the same


def log_model(run: Run, model: PatientModel, example: pd.DataFrame) -> ModelRef:
    """Register `model` as a version of `heart-disease`, with a signature and `example` rows as input example.

    A run registers a model once: if an earlier try of the run registered this same model, that version is returned. The
    version has no alias yet: `check_model`, `set_challenger` and `move_champion` follow.
    """
    with reachable():
        found = _newest_first(f"name='{MODEL}' and run_id='{run.run_id}'")
    for ref in map(_ref, found):
        if _is(ref, model, example):
            return ref
    with tempfile.TemporaryDirectory() as temporary:
        sent = Path(temporary)
        uploads.write(model, sent)
        with reachable():
            logged = uploads.upload(run, model, sent, example)
        with download(logged.model_uri) as came:
            if damaged := differing(sent, came):
                raise UnavailableError(
                    f"the artifact store of {uri()} gave back other files than were sent: {', '.join(damaged)}; "
                    "nothing was registered. Check the store, and who can write there; then run again."
                )
            digest = digest_of(came)
    with reachable():
        client = mlflow.MlflowClient()
        with suppress(MlflowException):  # it already exists
            client.create_registered_model(MODEL, description=DESCRIPTION)
        made = client.create_model_version(
            MODEL, logged.model_uri, run.run_id, tags={DIGEST: digest}, model_id=logged.model_id
        )
        # A server does this itself. Without a server, the model's page would say "Not registered".
        registered = json.dumps([{"name": MODEL, "version": str(made.version)}])
        client.set_logged_model_tags(logged.model_id, {MLFLOW_MODEL_VERSIONS: registered})
    return _ref(made)


def _is(ref: ModelRef, model: PatientModel, example: pd.DataFrame) -> bool:
    """Whether an existing version is `model`, complete and in working order."""
    try:
        stored = load_model(ref)
    except UnavailableError:
        return False
    return (
        (stored.encoder, stored.threshold) == (model.encoder, model.threshold)
        and np.array_equal(stored.learned_from, model.learned_from)
        and np.array_equal(stored.references, model.references, equal_nan=True)
        and folds.same(stored.folds, model.folds)
        and (stored.support and stored.support.to_json()) == (model.support and model.support.to_json())
        and difference(stored.predict(example), model.predict(example)) <= SAME
    )


def check_model(ref: ModelRef, model: PatientModel, patients: pd.DataFrame, stranger: Stranger) -> None:
    """Load `ref` back as this project does and as MLflow's users do, and compare both with `model` in memory.

    `stranger`, a process without this project, does the second, so that the code that runs is the shipped code.

    Raises:
        RuntimeError: the probabilities differ by more than 1e-6, or an answer differs.
        UnavailableError: the version cannot be loaded.
    """
    rows = patients[list(schema.INPUT_NAMES)]
    expected = model.predict(rows)
    with fetched(ref.name, ref.version) as folder:
        here = _read(ref, folder).predict(rows)
        try:
            # Only here does code from the artifact store run: this process just wrote it, and found it unchanged.
            there = stranger.predict(folder, rows)
        except UnavailableError as error:
            raise UnavailableError(
                f"{ref.name} version {ref.version} does not load where only MLflow and what it requires are installed: "
                f"{error}. The version is registered without an alias."
            ) from error
    for scored in (here, there):
        if not (gap := difference(scored, expected)) <= SAME:
            what = (
                f"probabilities by up to {gap:g}, expected at most {SAME:g}" if np.isfinite(gap) else "answers or words"
            )
            raise RuntimeError(
                f"{ref.name} version {ref.version}, loaded back, differs from the model in memory: {what}. The version "
                "is registered without an alias."
            )


def check_loads(ref: ModelRef, patients: pd.DataFrame) -> PatientModel:
    """Load `ref` and score `patients` with it, before it answers any request.

    Raises:
        UnavailableError: it does not load, or its answers are not probabilities.
    """
    model = load_model(ref)
    scored = model.predict(patients)["probability"].dropna()
    if not (len(scored) and scored.between(0, 1).all()):
        raise UnavailableError(
            f"{ref.name} version {ref.version} cannot be used: {len(scored)} probabilities for {len(patients)} "
            f"patients; expected some, from 0 to 1. Use another version."
        )
    return model


def load_model(ref: ModelRef) -> PatientModel:
    """The model of a version, after its files matched the recorded digest; nothing in them is executed.

    Raises:
        UnavailableError: the files were changed or are not a model of this project, or the store does not answer.
    """
    with fetched(ref.name, ref.version) as folder:
        return _read(ref, folder)


def copy_model(ref: ModelRef, folder: Path) -> None:
    """Copy what `PatientModel.load` needs of a version into an existing folder, after the same checks as `load_model`.

    Raises:
        UnavailableError: as `load_model`.
    """
    with fetched(ref.name, ref.version) as files:
        for name in set(FILES) - {"learned_from.npy"}:  # large, and asked by nobody
            with suppress(FileNotFoundError):  # in older versions; `load` misses what must be there
                shutil.copyfile(files / "artifacts" / "model" / name, folder / name)


def _read(ref: ModelRef, folder: Path) -> PatientModel:
    try:
        return PatientModel.load(folder / "artifacts" / "model")
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise UnavailableError(
            f"{ref.name} version {ref.version} cannot be used: {hide(failures.in_words(error))} Expected a model that "
            "this project wrote; use another version."
        ) from error


@reachable()
def by_alias(alias: str) -> ModelRef | None:
    """The version that the alias points to; None if there is none."""
    client = mlflow.MlflowClient()
    try:
        # Asks for the model, because if it is missing, a server with a login refuses a question for its alias.
        version = client.get_registered_model(MODEL).aliases.get(alias)
        return _ref(client.get_model_version(MODEL, version)) if version else None
    except MlflowException as error:
        if is_missing(error):
            return None
        raise


@reachable()
def by_version(version: str) -> ModelRef:
    """The version with this number.

    Raises:
        UnavailableError: there is no such version, or the store does not answer.
    """
    found = unless_missing(mlflow.MlflowClient().get_model_version, MODEL, version)
    if found:
        return _ref(found)
    raise UnavailableError(
        f"no version {version} of '{MODEL}' in {uri()}; there is: {', '.join(reversed(versions())) or 'none'}."
    )


def versions() -> list[str]:
    """The numbers of all versions, newest first."""
    return [ref.version for ref in all_versions()]


@reachable()
def all_versions() -> list[ModelRef]:
    """All versions, newest first."""
    return [_ref(found) for found in _newest_first()]


@reachable()
def set_challenger(ref: ModelRef, why: str) -> None:
    """Label `ref` as not promoted, and point the alias `challenger` to the newest labelled version.

    So if two trainings finish at once, the newer version ends up as challenger, whichever finishes last. The label does
    not say "challenger", because it stays when a newer version gets the alias; a promotion replaces it.
    """
    label(ref.version, NOT_PROMOTED, why)
    pointed = None
    while pointed != (newest := next(str(it.version) for it in _newest_first() if "promotion" in it.tags)):
        set_alias(CHALLENGER, newest)
        pointed = newest


def set_alias(alias: str, version: str) -> None:
    """Point `alias` to the version and do nothing else; for the champion see champions.py."""
    _again(mlflow.MlflowClient().set_registered_model_alias, MODEL, alias, version)


def label(version: str, what: str, why: str) -> None:
    """Write into tags and description what the version is now, and why; a model card below that stays."""
    client = mlflow.MlflowClient()
    _again(client.set_model_version_tag, MODEL, version, "promotion", what)
    _again(client.set_model_version_tag, MODEL, version, "promotion_reason", why)
    _, rule, card = (client.get_model_version(MODEL, version).description or "").partition(RULE)
    client.update_model_version(MODEL, version, f"{what}: {why}{rule}{card}"[:LONGEST])


@reachable()
def log_card(ref: ModelRef, card: str) -> None:
    """Put a model card, in Markdown, into the version's description, below what it is now and why."""
    client = mlflow.MlflowClient()
    now, _, _ = (client.get_model_version(ref.name, ref.version).description or "").partition(RULE)
    client.update_model_version(ref.name, ref.version, f"{now}{RULE}{card}"[:LONGEST])


def introduce(champion: ModelRef | None, why: str) -> None:
    """Put the champion's model card, if there is a champion, into the model's description, below its introduction."""
    client = mlflow.MlflowClient()
    introduction, _, _ = (client.get_registered_model(MODEL).description or DESCRIPTION).partition(RULE)
    if champion is None:
        client.update_registered_model(MODEL, introduction)
        return
    _, _, card = (client.get_model_version(MODEL, champion.version).description or "").partition(RULE)
    now = f"The champion is **version {champion.version}**: {why}"
    client.update_registered_model(MODEL, f"{introduction}{RULE}{now}\n\n{card}".rstrip()[:LONGEST])


@reachable()
def log_version_tags(ref: ModelRef, tags: Mapping[str, str]) -> None:
    """Set tags of a registered version."""
    for key, value in tags.items():
        _again(mlflow.MlflowClient().set_model_version_tag, ref.name, ref.version, key, value)


def _again(call: Callable[..., object], *arguments: str) -> None:
    """Call, and call once more if refused: if two set a new thing at once, one is refused, but can then change it."""
    try:
        call(*arguments)
    except MlflowException:
        call(*arguments)


def _newest_first(which: str = f"name='{MODEL}'") -> list[ModelVersion]:
    found = mlflow.MlflowClient().search_model_versions(which)
    return sorted(found, key=lambda version: int(version.version), reverse=True)


def _ref(found: ModelVersion) -> ModelRef:
    return ModelRef(found.name, str(found.version), found.run_id or "")
