"""`heart check --dask` and `heart predict --dask`: what one process finds, part by part."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import ExitCode
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from heart_disease.search import dask_client
from heart_disease.training.code import code_digest
from tests.harness.command import heart, one_line
from tests.harness.data import crowd, patients
from tests.harness.models.clusters import AtOnce, dask_cluster, kill_a_worker_at_work

Said = tuple[int, str, str]
ADDRESS = "tcp://10.0.0.1:8786"
PARTS = (slice(0, 30), slice(30, 30), slice(30, 90))  # the second part has no rows


def network(inputs: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-inputs[:, :1]))


@pytest.fixture(autouse=True)
def champion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A champion that needs no store."""
    model = PatientModel(Encoder.fit(sources.load().frame), network)
    monkeypatch.setattr(registry, "champion", lambda: ModelRef("heart-disease", "1", "a run"))
    monkeypatch.setattr(registry, "load_model", lambda ref: model)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> AtOnce:
    """A cluster at ADDRESS."""
    client = AtOnce()

    @contextmanager
    def connected(address: str):  # type: ignore[no-untyped-def]
        assert address == ADDRESS
        yield client

    monkeypatch.setattr(dask_client, "connected", connected)
    return client


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*arguments: object) -> Said:
        code = heart(*map(str, arguments))
        return code, *capsys.readouterr()

    return call


def folder_of_parts(folder: Path, suffix: str = "csv") -> Path:
    """90 patients in three parts, one of them empty; three rows break a limit, and two cells are words."""
    frame = patients.make(90).reset_index(drop=True).assign(mrn=[f"{i:03}" for i in range(90)])
    frame.loc[[3, 33, 88], "age"] = 999
    if suffix == "csv":
        frame = frame.astype({"chol": object})
        frame.loc[[40, 41], "chol"] = "high"
    path = folder / "in"
    path.mkdir()
    for name, rows in zip("abc", PARTS, strict=True):
        part = frame.iloc[rows]
        part.to_csv(path / f"{name}.csv", index=False) if suffix == "csv" else part.to_parquet(path / f"{name}.parquet")
    return path


def read(folder: Path) -> pd.DataFrame:
    frames = [
        pd.read_csv(path, dtype=str) if path.suffix == ".csv" else pd.read_parquet(path)
        for path in sorted(folder.iterdir())
    ]
    return pd.concat(frames, ignore_index=True)


def test_a_check_says_what_one_process_says(cluster: AtOnce, said: Callable[..., Said], tmp_path: Path) -> None:
    folder = folder_of_parts(tmp_path)
    assert said("check", folder, "--dask", ADDRESS, "--page", tmp_path / "there.html") == said(
        "check", folder, "--page", tmp_path / "here.html"
    )
    assert (tmp_path / "there.html").read_text() == (tmp_path / "here.html").read_text()
    assert cluster.tasks >= len(PARTS)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_scores_are_those_of_one_process_in_a_part_for_each_part(
    suffix: str, cluster: AtOnce, said: Callable[..., Said], tmp_path: Path
) -> None:
    folder = folder_of_parts(tmp_path, suffix)
    there = said("predict", folder, "-o", tmp_path / "out", "--dask", ADDRESS)
    here = said("predict", folder, "-o", tmp_path / f"out.{suffix}")
    assert there == here
    assert f"{85 if suffix == 'csv' else 87} rows scored" in here[2]
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [f"a.{suffix}", f"c.{suffix}"]
    whole = (
        pd.read_csv(tmp_path / "out.csv", dtype=str) if suffix == "csv" else pd.read_parquet(tmp_path / "out.parquet")
    )
    pd.testing.assert_frame_equal(read(tmp_path / "out"), whole)
    assert cluster.tasks >= 3 * len(PARTS)


def test_the_answers_about_parts_that_are_no_csv_files_are(
    cluster: AtOnce, said: Callable[..., Said], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        patients.make(60).to_json(tmp_path / "in" / f"{name}.jsonl", orient="records", lines=True)
    assert said("predict", tmp_path / "in", "-o", tmp_path / "out", "--dask", ADDRESS)[0] == ExitCode.DONE
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a.csv", "b.csv"]
    assert len(read(tmp_path / "out")) == 120


def test_without_an_output_the_terminal_shows_the_same(
    cluster: AtOnce, said: Callable[..., Said], tmp_path: Path
) -> None:
    folder = folder_of_parts(tmp_path)
    assert said("predict", folder, "--dask", ADDRESS) == said("predict", folder)


def test_a_doubtful_folder_is_refused_with_the_same_words(
    cluster: AtOnce, said: Callable[..., Said], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        patients.make(60, thal=2).to_csv(tmp_path / "in" / f"{name}.csv", index=False)
    there = said("predict", tmp_path / "in", "-o", tmp_path / "out", "--dask", ADDRESS)
    assert there == said("predict", tmp_path / "in", "-o", tmp_path / "out.csv")
    assert there[0] == ExitCode.REJECTED
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("task", [1, 4, 7, 9])  # three look, three read, three score
def test_a_stop_at_any_part_leaves_nothing(
    task: int, cluster: AtOnce, said: Callable[..., Said], tmp_path: Path
) -> None:
    folder = folder_of_parts(tmp_path)

    def after(tasks: int) -> None:
        if tasks == task:
            raise KeyboardInterrupt

    cluster.after = after
    code, _, err = said("predict", folder, "-o", tmp_path / "out", "--dask", ADDRESS)
    assert (code, err) == (ExitCode.STOPPED, "heart: stopped\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_a_killed_worker_left_is_not_in_the_output(
    cluster: AtOnce, said: Callable[..., Said], tmp_path: Path
) -> None:
    folder = folder_of_parts(tmp_path)

    def after(tasks: int) -> None:
        if tasks == 8:
            [made] = tmp_path.glob(".out.*")
            (made / ".c.csv.0123.part").touch()

    cluster.after = after
    assert said("predict", folder, "-o", tmp_path / "out", "--dask", ADDRESS)[0] == ExitCode.DONE
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.csv", "c.csv"]


# Refusals.


def test_an_output_that_is_there_is_not_touched(cluster: AtOnce, said: Callable[..., Said], tmp_path: Path) -> None:
    folder = folder_of_parts(tmp_path)
    code, _, err = said("predict", folder, "-o", tmp_path, "--dask", ADDRESS)
    assert (code, "is there already; expected the name of a new folder" in one_line(err)) == (2, True)


@pytest.mark.parametrize("command", ["check", "predict"])
def test_one_file_needs_no_cluster(command: str, cluster: AtOnce, said: Callable[..., Said]) -> None:
    code, _, err = said(command, sources.BUNDLED, "--dask", ADDRESS)
    assert (code, "expected a folder of parts, which the workers share" in one_line(err)) == (2, True)


def test_another_file_under_the_same_path_is_refused(
    cluster: AtOnce, said: Callable[..., Said], tmp_path: Path
) -> None:
    path = folder_of_parts(tmp_path) / "c.csv"
    size = path.stat().st_size

    def after(tasks: int) -> None:
        if tasks == 3:  # the workers have looked at the shorter one
            path.write_text(path.read_text() + "\n")

    cluster.after = after
    code, _, err = said("check", path.parent, "--dask", ADDRESS)
    assert code == ExitCode.REJECTED
    assert f"has {size} bytes where the workers are and {size + 1} here" in one_line(err)


def test_an_output_that_only_the_workers_see_is_an_error(
    cluster: AtOnce, said: Callable[..., Said], tmp_path: Path
) -> None:
    folder = folder_of_parts(tmp_path)

    def after(tasks: int) -> None:
        for path in tmp_path.glob(".out.*/c.csv"):
            path.unlink()

    cluster.after = after
    code, _, err = said("predict", folder, "-o", tmp_path / "out", "--dask", ADDRESS)
    assert (code, "the workers have written c.csv" in one_line(err)) == (ExitCode.UNAVAILABLE, True)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_part_that_grows_meanwhile_is_refused(cluster: AtOnce, said: Callable[..., Said], tmp_path: Path) -> None:
    path = folder_of_parts(tmp_path) / "c.csv"

    def after(tasks: int) -> None:
        if tasks == 6:  # all parts have been looked through
            path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")

    cluster.after = after
    code, _, err = said("predict", path.parent, "-o", tmp_path / "out", "--dask", ADDRESS)
    assert (code, "was changed while it was read" in one_line(err)) == (ExitCode.REJECTED, True)
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


def test_a_worker_with_other_code_is_refused(
    cluster: AtOnce, said: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = iter([code_digest(), "another"])
    monkeypatch.setattr(dask_client, "code_digest", lambda *rooms: next(digests, "another"))
    code, _, err = said("check", folder_of_parts(tmp_path), "--dask", ADDRESS)
    assert (code, "has another version of this project" in one_line(err)) == (ExitCode.UNAVAILABLE, True)


def test_an_address_where_nothing_answers_is_a_clear_error(
    said: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    monkeypatch.setattr(dask_client, "ANSWER_SECONDS", 0.5)
    code, _, err = said("check", folder_of_parts(tmp_path), "--dask", "tcp://127.0.0.1:1")
    assert (code, "no Dask scheduler with workers answers" in one_line(err)) == (ExitCode.UNAVAILABLE, True)


# A real cluster.


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_nothing(said: Callable[..., Said], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for part in range(4):
        crowd.draw(20_000, part).to_csv(folder / f"{part}.csv", index=False)
    with dask_cluster() as address:
        for function, command in (("look_through", ["check"]), ("score_part", ["predict", "-o", tmp_path / "out"])):
            killed: list[int] = []
            killer = threading.Thread(target=kill_a_worker_at_work, args=(address, function, killed), daemon=True)
            killer.start()
            there = said(*command, folder, "--dask", address)
            killer.join(timeout=60)
            assert len(killed) == 1
            here = said(command[0], folder, *(["-o", tmp_path / "out.csv"] if len(command) > 1 else []))
            assert there == here
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{part}.csv" for part in range(4)]
    pd.testing.assert_frame_equal(read(tmp_path / "out"), pd.read_csv(tmp_path / "out.csv", dtype=str))
