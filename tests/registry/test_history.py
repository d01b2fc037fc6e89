"""The champion's moves are complete and in order, even if several processes move it at once or die half-way.

Tested on an SQLite store, and again over HTTP on a real `mlflow server`.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from heart_disease import registry
from heart_disease.model.errors import MovedError, UnavailableError
from heart_disease.registry import Move, champions, models
from tests.harness.waiting import free_port

VERSIONS = 6
# The processes are forked from one that has imported MLflow, so that this happens only once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["heart_disease.registry"])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables; one for all tests, because MLflow takes a second to open another."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="module")
def server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server with its own database."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(database, folder)
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder), "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return bool(page.status == 200)
    except OSError:
        return False


@pytest.fixture(params=["sqlite", "server"])
def store(request: pytest.FixtureRequest, database: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a store with six versions, none of them champion, and no history."""
    uri: str = request.getfixturevalue("server") if request.param == "server" else f"sqlite:///{database}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = mlflow.MlflowClient()
    for used in client.search_experiments(filter_string=f"name LIKE '{champions.HISTORY}%'"):
        client.rename_experiment(used.experiment_id, uuid4().hex)
    for left in client.search_registered_models(f"name='{registry.MODEL}'"):
        client.delete_registered_model(left.name)
    client.create_registered_model(registry.MODEL)
    run = client.create_run("0").info
    for _ in range(VERSIONS):
        client.create_model_version(registry.MODEL, f"{run.artifact_uri}/model", run.run_id)
    return uri


@pytest.fixture
def client(store: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient()


def move(to: int, expected: int | None, why: str = "better", kind: champions.Kind = "promotion") -> Move:
    """Move the champion to version `to`."""
    before = None if expected is None else str(expected)
    return registry.move_champion(registry.by_version(str(to)), expected=before, kind=kind, why=why)


def alias() -> str | None:
    found = registry.by_alias(registry.CHAMPION)
    return found.version if found else None


def path(moves: Sequence[Move]) -> list[str | None]:
    """Every champion there was; fails if a move does not start where the previous one ended."""
    assert [move.number for move in moves] == list(range(1, len(moves) + 1))
    assert [move.before for move in moves] == [None, *[move.after for move in moves[:-1]]]
    return [move.after for move in moves]


def in_a_process(work: Callable[..., None], *arguments: Any) -> int | None:
    """Run `work` in a process and return its exit code."""
    process = PROCESSES.Process(target=work, args=arguments)
    process.start()
    process.join(timeout=180)
    return process.exitcode


def test_every_move_is_kept_with_when_why_and_by_whom(client: mlflow.MlflowClient) -> None:
    assert registry.find_champion() is None
    assert registry.history() == ()
    assert client.get_experiment_by_name(champions.HISTORY) is None  # looking leaves nothing behind
    first, second = move(2, None, "the first"), move(3, 2, "  better\nthan 2 ", kind="by hand")
    assert registry.history() == [first, second]
    assert path([first, second]) == ["2", "3"]
    assert registry.champion() == registry.by_version("3")
    assert (second.kind, second.why) == ("by hand", "better than 2")
    assert second.run_id == registry.champion().run_id != ""
    assert first.when.endswith("+00:00")
    assert first.when <= second.when
    assert first.by == second.by != ""


def test_a_champion_says_why_in_its_tags_and_description(client: mlflow.MlflowClient) -> None:
    move(2, None, "beats the prevalence")
    version = client.get_model_version(registry.MODEL, "2")
    assert version.tags == {"promotion": "champion", "promotion_reason": "beats the prevalence"}
    assert version.description == "champion: beats the prevalence"


def test_a_move_based_on_an_earlier_champion_is_refused_and_changes_nothing(store: str) -> None:
    before = [move(1, None), move(2, 1)]
    for stale, named in ((1, "version 1"), (None, "none")):
        with pytest.raises(MovedError, match=f"moved from {named} to version 2 .*version 3 was not compared") as caught:
            move(3, stale)
        assert caught.value.exit_code == 5
    assert registry.history() == before
    assert alias() == "2"


def test_a_missing_version_is_refused_before_anything_moves(store: str) -> None:
    with pytest.raises(UnavailableError, match="no version 99 of 'heart-disease' .* there is: 1, 2, 3, 4, 5, 6"):
        move(99, None)
    gone = replace(registry.by_version("1"), version="99")
    with pytest.raises(UnavailableError, match="no version 99"):
        registry.move_champion(gone, expected=None, kind="promotion", why="")
    assert registry.history() == ()


def test_of_two_writers_that_read_the_same_history_one_is_refused(store: str) -> None:
    move(1, None)
    log = champions.settle()
    one, other = (champions._next(log, version, "", "by hand", "at once", "me") for version in ("2", "2"))
    assert champions._append(log, one)
    assert champions._append(log, one)  # the answer was lost, so the client asks again
    assert not champions._append(log, other)
    assert champions.settle(patience=0).moves[1:] == [one]


def test_mlflow_itself_does_not_change_a_move(client: mlflow.MlflowClient) -> None:
    kept = move(1, None)
    run_id = champions._read().run_id
    assert run_id
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_param(run_id, "move.0001", "{}")
    assert registry.history() == [kept]


def race(uri: str, version: int, start: Barrier, moves: int) -> None:
    """Move the champion to `version` several times, each time from where it just was."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    mine = registry.by_version(str(version))
    start.wait()
    expected, done = None, 0
    while done < moves:
        with suppress(MovedError):
            done += bool(registry.move_champion(mine, expected=expected, kind="promotion", why=f"{version}/{done}"))
        found = registry.find_champion()
        expected = found.version if found else None


@pytest.mark.slow
def test_processes_that_move_the_champion_at_once_make_one_history(store: str) -> None:
    many, moves = (4 if store.startswith("http") else VERSIONS), 2
    start = PROCESSES.Barrier(many)
    processes = [PROCESSES.Process(target=race, args=(store, n + 1, start, moves)) for n in range(many)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=180)
    assert [process.exitcode for process in processes] == [0] * many
    history = registry.history()
    assert path(history)[-1] == alias()
    assert sorted(move.why for move in history) == [f"{n + 1}/{m}" for n in range(many) for m in range(moves)]
    assert {move.kind for move in history} == {"promotion"}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_alias(uri: str) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    champions._finish = lambda log: die()  # type: ignore[assignment]
    move(2, 1, "the last words")


def die_before_the_mark(uri: str) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    models.label = champions.label = lambda *arguments: die()  # type: ignore[assignment]
    move(2, 1, "the last words")


@pytest.mark.parametrize(("work", "left"), [(die_before_the_alias, "1"), (die_before_the_mark, "2")])
def test_a_move_whose_writer_was_killed_is_finished_by_the_next_process(
    work: Callable[[str], None], left: str, store: str, client: mlflow.MlflowClient
) -> None:
    move(1, None)
    assert in_a_process(work, store) == -signal.SIGKILL
    assert alias() == left
    assert champions.settle(patience=0).champion == "2"
    assert alias() == "2"
    assert client.get_model_version(registry.MODEL, "2").tags["promotion_reason"] == "the last words"
    assert not champions._read().pending
    assert path([*registry.history(), move(3, 2)]) == ["1", "2", "3"]


def test_a_move_waits_for_a_writer_at_work(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = champions.settle()
    assert champions._append(log, champions._next(log, "1", "", "promotion", "", ""))
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            champions._finish(champions._read())

    monkeypatch.setattr(champions.time, "sleep", wait)
    assert champions.settle(patience=600).champion == "1"
    assert len(waits) == 3


def test_a_writer_that_is_too_late_does_not_set_the_alias_back(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    move(1, None)
    point, calls = champions._point, []

    def late(late_move: Move) -> None:
        calls.append(late_move.after)
        if len(calls) == 1:  # before this writer sets the alias, another finishes its move and makes another move
            assert champions.settle(patience=0).champion == "2"
            move(3, 2)
        point(late_move)

    monkeypatch.setattr(champions, "_point", late)
    move(2, 1)
    assert calls == ["2", "2", "3", "3"]
    assert alias() == "3"
    assert path(champions.settle(patience=0).moves) == ["1", "2", "3"]


@pytest.mark.parametrize("to", ["5", None])
def test_an_alias_moved_in_mlflow_itself_enters_the_history(to: str | None, client: mlflow.MlflowClient) -> None:
    move(1, None)
    if to:
        client.set_registered_model_alias(registry.MODEL, registry.CHAMPION, to)
    else:
        client.delete_registered_model_alias(registry.MODEL, registry.CHAMPION)
    champions.settle(patience=0)
    with pytest.raises(MovedError):
        move(2, 1)
    outside = registry.history()[-1]
    assert (outside.kind, outside.by) == ("outside", "unknown")
    assert outside.run_id == (registry.by_version(to).run_id if to else "")
    assert alias() == to
    assert client.get_model_version(registry.MODEL, "5").tags == {}
    move(2, None if to is None else int(to))
    assert path(registry.history()) == ["1", to, "2"]


def test_a_champion_from_before_the_history_is_its_first_move(client: mlflow.MlflowClient) -> None:
    client.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "4")
    assert registry.champion() == registry.by_version("4")
    move(5, 4)
    assert path(registry.history()) == ["4", "5"]
    assert [move.kind for move in registry.history()] == ["outside", "promotion"]


def test_a_move_to_a_version_deleted_meanwhile_ends_where_the_alias_is(
    client: mlflow.MlflowClient,
) -> None:
    move(1, None)
    log = champions.settle()
    assert champions._append(log, champions._next(log, "2", "", "promotion", "", ""))
    client.delete_model_version(registry.MODEL, "2")
    assert path(champions.settle(patience=0).moves) == ["1", "2", "1"]
    assert alias() == "1"


def die_before_the_name(uri: str) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    mlflow.MlflowClient.rename_experiment = lambda *arguments: die()
    move(1, None)


def test_an_unfinished_history_blocks_nobody(store: str) -> None:
    assert in_a_process(die_before_the_name, store) == -signal.SIGKILL
    assert path([move(2, None), move(3, 2)]) == ["2", "3"]


def test_of_two_histories_created_at_once_one_remains(client: mlflow.MlflowClient) -> None:
    assert champions._create() == champions._create()
    names = [found.name for found in client.search_experiments() if found.name.startswith(champions.HISTORY)]
    assert names == [champions.HISTORY]


def test_a_deleted_history_is_reported_as_missing(client: mlflow.MlflowClient) -> None:
    move(1, None)
    experiment = client.get_experiment_by_name(champions.HISTORY).experiment_id
    client.delete_experiment(experiment)
    with pytest.raises(UnavailableError, match=f"mlflow experiments restore -x {experiment}"):
        move(2, 1)
    client.restore_experiment(experiment)
    assert path([registry.history()[0], move(2, 1)]) == ["1", "2"]


def test_any_reason_fits(store: str) -> None:
    longest = max(
        (champions._next(champions.settle(), "1", "0" * 32, "promotion", why, "someone")
         for why in ("x" * 7000, '"\\' * 7000, "\U0001fac0" * 7000, "\x01" * 7000)),
        key=lambda it: len(champions._text(it)),
    )  # fmt: skip
    assert longest.why == "\x01" * champions.LONGEST + " ..."
    assert len(champions._text(longest)) < 6000
    kept = [move(1, None, longest.why), move(2, 1, "caf\udce9 \U0001fac0")]  # a terminal's bytes that are not text
    assert [kept[0].why, kept[1].why] == [longest.why, "caf? \U0001fac0"]
    assert registry.history() == kept


@pytest.mark.parametrize(
    ("kinds_and_versions", "left"),
    [
        ("", ""),
        ("p1", ""),
        ("p1 p2 p3", "21"),
        ("p1 p2 p3 r2", "1"),
        ("p1 p2 p3 r2 r1", ""),
        ("p1 p2 p3 r2 p4", "21"),
        ("p1 p2 p3 r2 p4 r2 r1", ""),
        ("p1 p2 p3 h1", "32"),
        ("p1 p2 p3 h1 r3", "21"),
        ("p1 p2 p3 r1", ""),  # 2 was deleted meanwhile
        ("o4 p5", "4"),
        ("p1 p2 o0", "21"),
        ("p1 p2 o0 r2", "1"),
        ("p1 p2 o0 p3", "21"),
    ],
)
def test_rollback_goes_further_back_each_time(kinds_and_versions: str, left: str) -> None:
    kinds: dict[str, champions.Kind] = {"p": "promotion", "h": "by hand", "r": "rollback", "o": "outside"}
    moves: list[Move] = []
    for number, (kind, version) in enumerate(kinds_and_versions.split(), 1):
        before = moves[-1].after if moves else None
        moves.append(Move(number, "", before, None if version == "0" else version, "", kinds[kind], "", "", ""))
    assert registry.earlier_champions(moves) == list(left)


def test_the_challenger_is_the_newest_registered_version_whoever_writes_last(
    client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def challenger() -> str:
        return str(client.get_model_version_by_alias(registry.MODEL, registry.CHALLENGER).version)

    registry.set_challenger(registry.by_version("3"), "worse")
    assert challenger() == "3"
    version = client.get_model_version(registry.MODEL, "3")
    assert version.tags == {"promotion": "challenger", "promotion_reason": "worse"}
    registry.set_challenger(registry.by_version("2"), "late")
    assert challenger() == "3"

    set_alias, calls = models.set_alias, []

    def late(alias: str, version: str) -> None:
        calls.append(version)
        if len(calls) == 1:  # after this writer has looked up the newest version, and before it sets the alias
            registry.set_challenger(registry.by_version("5"), "newer")
        set_alias(alias, version)

    monkeypatch.setattr(models, "set_alias", late)
    registry.set_challenger(registry.by_version("4"), "slow")
    assert calls == ["4", "5", "5"]
    assert challenger() == "5"
