"""The store in the working folder: under any name of that folder, and after it was renamed, moved or copied."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from heart_disease import registry
from heart_disease.cli import main
from heart_disease.model.errors import UnavailableError
from heart_disease.registry import Run, lookup

SIGNS = ["my project", "Müller", "a%b", "a%20b", "a#b", "a&b;c", "it's", "a+b=c", "a:b@c", "a?b"]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, made once because that takes seconds, in the folder with the worst name."""
    folder = tmp_path_factory.mktemp("made") / "a%20b #ü"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        registry.find_champion()
    return folder / "mlflow.db"


@pytest.fixture
def begin(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a folder of this name with an empty store, and works there."""

    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        shutil.copy(empty, tmp_path / name)
        enter(tmp_path / name, monkeypatch)
        return tmp_path / name

    return make


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the folder without any setting, as the command does there."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in main._store().items():
        monkeypatch.setenv(name, value)


def write() -> Run:
    with registry.open_run("a run", {}) as run:
        registry.log_files(run, "notes", {"note.txt": "written"})
    return run


def read(run: Run) -> str | None:
    return lookup.read_text(registry.find_record(run.run_id), "notes/note.txt")


def files(folder: Path) -> list[Path]:
    return list(folder.glob("mlruns/**/note.txt"))


@pytest.mark.parametrize("name", SIGNS)
def test_a_store_works_in_a_folder_of_any_name(name: str, begin: Callable[[str], Path], tmp_path: Path) -> None:
    folder = begin(name)
    assert read(write()) == "written"
    assert len(files(folder)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {name}
    with closing(sqlite3.connect("mlflow.db")) as database:  # where a bare `mlflow ui` in this folder looks
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (1,)


@pytest.mark.parametrize(("before", "after"), [("one", "two"), ("a%20b", "two"), ("one", "a%20b"), ("one", "a b#c")])
def test_a_renamed_folder_is_used_as_before(
    before: str, after: str, begin: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = begin(before), tmp_path / after
    run = write()
    old.rename(new)
    enter(new, monkeypatch)
    assert read(run) == "written"
    assert read(write()) == "written"
    assert len(files(new)) == 2
    assert not old.exists()


def test_a_copied_folder_writes_nothing_into_the_original(
    begin: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = begin("one")
    run = write()
    new = Path(shutil.copytree(old, tmp_path / "two"))
    enter(new, monkeypatch)
    assert read(run) == "written"
    write()
    assert (len(files(old)), len(files(new))) == (1, 2)


def test_files_elsewhere_stay_where_they_are(
    begin: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database may be used from another working folder, where MLflow then keeps the files."""
    begin("one")
    run = write()
    begin("two")
    write()
    shutil.copy(tmp_path / "one" / "mlflow.db", tmp_path / "two" / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'two' / 'other.db'}")
    assert read(run) == "written"
    write()
    assert (len(files(tmp_path / "one")), len(files(tmp_path / "two"))) == (2, 1)


def test_a_database_that_lost_its_folder_writes_no_files(
    begin: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = begin("one")
    write()
    (tmp_path / "two").mkdir()
    shutil.copy(old / "mlflow.db", tmp_path / "two")
    shutil.rmtree(old)
    enter(tmp_path / "two", monkeypatch)
    with pytest.raises(UnavailableError, match=f"keeps its files in '{old}/mlruns'.*'{old}' is missing"):
        write()
    assert not old.exists()


def test_files_are_made_anew_if_only_mlruns_was_removed(begin: Callable[[str], Path]) -> None:
    folder = begin("one")
    write()
    shutil.rmtree(folder / "mlruns")
    assert read(write()) == "written"
