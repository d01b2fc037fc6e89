"""The champion that is remembered: as long as nothing was written to its store, and not a moment longer."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heart_disease import registry
from heart_disease.cli.pipeline import remembered
from heart_disease.data import sources
from heart_disease.model.encoding import Encoder
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from heart_disease.training import network
from heart_disease.training.recipe import Recipe

PATIENTS = sources.load().frame
CELLS = PATIENTS.iloc[:3, :13].to_numpy()


class Store:
    """A database that stands for a store. asked: how often MLflow was asked for the champion's model."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.database, self.version, self.asked = folder, folder / "mlflow.db", "1", 0
        self.model = PatientModel(Encoder.fit(PATIENTS), network.build(Recipe(hidden=(2,)), 29), threshold=0.3)
        self.write("create table t (x)")

    def write(self, statement: str = "insert into t values (1)") -> None:
        with sqlite3.connect(self.database) as store:
            store.execute(statement)
        store.close()

    def champion(self) -> ModelRef:
        return ModelRef("heart-disease", self.version, "a run")

    def load_model(self, ref: ModelRef) -> PatientModel:
        self.asked += 1
        return self.model

    def cached(self) -> Path:
        [path] = self.folder.glob("cache/heart-disease/*")
        return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.database}")
    for name, found in {
        "champion": store.champion, "find_champion": store.champion, "load_model": store.load_model,
        "copy_model": lambda ref, place: store.model.save(place),
    }.items():  # fmt: skip
        monkeypatch.setattr(registry, name, found)
    return store


def test_an_unchanged_store_is_asked_once(store: Store) -> None:
    expected = store.model.score(CELLS).probability
    for _ in range(3):
        title, model = remembered.champion()
        assert title == "heart-disease version 1"
        assert model.threshold == 0.3
        np.testing.assert_allclose(model.score(CELLS).probability, expected, atol=1e-6)
    assert store.asked == 1


def test_after_any_write_the_store_is_asked_again(store: Store) -> None:
    remembered.champion()
    before = store.database.stat()
    store.version = "2"
    store.write()
    os.utime(store.database, ns=(before.st_atime_ns, before.st_mtime_ns))  # the clock may be too coarse to show it
    assert remembered.champion()[0] == "heart-disease version 2"
    assert remembered.champion()[0] == "heart-disease version 2"
    assert store.asked == 2


def truncate(store: Store) -> None:
    (store.cached() / "network.keras").write_bytes(b"")


def forge(store: Store) -> None:
    (store.cached() / "threshold.json").write_text('{"threshold": 0.9}')


def scribble(store: Store) -> None:
    (store.cached() / "champion.json").write_text("[]")


def journal(store: Store) -> None:
    (store.folder / "mlflow.db-journal").touch()


def log_ahead(store: Store) -> None:
    store.write("pragma journal_mode = wal")


@pytest.mark.parametrize("change", [truncate, forge, scribble, journal, log_ahead])
def test_what_cannot_be_trusted_is_not_used(change: Callable[[Store], None], store: Store) -> None:
    remembered.champion()
    change(store)
    assert remembered.champion()[1].threshold == 0.3
    assert store.asked == 2


def test_a_champion_that_moves_while_it_is_loaded_is_not_remembered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_champion", lambda: ModelRef("heart-disease", "7", "a run"))
    remembered.champion()
    remembered.champion()
    assert store.asked == 2


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"])
def test_other_stores_are_asked_each_time(name: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    remembered.champion()
    remembered.champion()
    assert store.asked == 2
    assert not (store.folder / "cache").exists()


def test_without_a_place_to_remember_it_works_all_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(store.database))  # a file
    assert remembered.champion()[0] == remembered.champion()[0] == "heart-disease version 1"
