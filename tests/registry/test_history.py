"""The champion's moves are complete and in order, even if several processes move it at once or die half-way.

Tested on an SQLite store, and again over HTTP on a real `mlflow server`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from heart_disease import registry
from heart_disease.model.errors import HistoryError, MovedError, UnavailableError
from heart_disease.registry import Kind, ModelRef, Move, champions, models, moves
from tests.harness.models.champions import alias, move, path
from tests.registry.conftest import VERSIONS

# The processes are forked from one that has imported MLflow, so that this happens only once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["heart_disease.registry"])


def in_a_process(work: Callable[..., None], *arguments: Any) -> int | None:
    """Run `work` in a process and return its exit code."""
    process = PROCESSES.Process(target=work, args=arguments)
    process.start()
    process.join(timeout=180)
    return process.exitcode


def test_every_move_is_kept_with_when_why_and_by_whom(client: mlflow.MlflowClient) -> None:
    assert registry.find_champion() is None
    assert registry.history() == ()
    assert client.get_experiment_by_name(moves.HISTORY) is None  # looking leaves nothing behind
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
        with pytest.raises(MovedError, match=f"moved from {named} to version 2 .*version 3 was not") as caught:
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
    one, other = (log.next(registry.by_version("2"), "by hand", "at once", "me") for _ in range(2))
    assert moves.append(log, one)
    assert moves.append(log, one)  # the answer was lost, so the client asks again
    assert not moves.append(log, other)
    assert champions.settle(patience=0).moves[1:] == [one]


def test_mlflow_itself_does_not_change_a_move(client: mlflow.MlflowClient) -> None:
    kept = move(1, None)
    run_id = moves.read().run_id
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
        expected = registry.find_champion()


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
    assert champions.settle(patience=0).champion == registry.by_version("2")
    assert alias() == "2"
    assert client.get_model_version(registry.MODEL, "2").tags["promotion_reason"] == "the last words"
    assert not moves.read().pending
    assert path([*registry.history(), move(3, 2)]) == ["1", "2", "3"]


def test_a_move_waits_for_a_writer_at_work(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = champions.settle()
    assert moves.append(log, log.next(registry.by_version("1"), "promotion", "", ""))
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            champions._finish(moves.read())

    monkeypatch.setattr(champions, "sleep", wait)
    assert champions.settle(patience=600).champion == registry.by_version("1")
    assert len(waits) == 3


def test_a_writer_that_is_too_late_does_not_set_the_alias_back(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    move(1, None)
    point, calls = champions._point, []

    def late(before: ModelRef | None, late_move: Move) -> None:
        calls.append(late_move.after)
        if len(calls) == 1:  # before this writer sets the alias, another finishes its move and makes another move
            assert champions.settle(patience=0).champion == registry.by_version("2")
            move(3, 2)
        point(before, late_move)

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
    if to:
        assert client.get_model_version(registry.MODEL, to).description == "champion: moved in MLflow itself"
    assert "former champion: " in client.get_model_version(registry.MODEL, "1").description
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
    assert moves.append(log, log.next(registry.by_version("2"), "promotion", "", ""))
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
    assert moves._begin() == moves._begin()
    names = [found.name for found in client.search_experiments() if found.name.startswith(moves.HISTORY)]
    assert names == [moves.HISTORY]


def test_a_deleted_history_is_reported_as_missing(client: mlflow.MlflowClient) -> None:
    move(1, None)
    experiment = client.get_experiment_by_name(moves.HISTORY).experiment_id
    client.delete_experiment(experiment)
    with pytest.raises(HistoryError, match=f"mlflow experiments restore --experiment-id {experiment}"):
        move(2, 1)
    client.restore_experiment(experiment)
    assert path([registry.history()[0], move(2, 1)]) == ["1", "2"]


def test_any_reason_fits(store: str) -> None:
    longest = max(
        (champions.settle().next(ModelRef(registry.MODEL, "1", "0" * 32), "promotion", why, "someone")
         for why in ("x" * 7000, '"\\' * 7000, "\U0001fac0" * 7000, "\x01" * 7000)),
        key=lambda it: len(moves.as_text(it)),
    )  # fmt: skip
    assert longest.why == "\x01" * moves.LONGEST + " ..."
    assert len(moves.as_text(longest)) < 6000
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
    kinds: dict[str, Kind] = {"p": "promotion", "h": "by hand", "r": "rollback", "o": "outside"}
    moves: list[Move] = []
    for number, (kind, version) in enumerate(kinds_and_versions.split(), 1):
        before = moves[-1].after if moves else None
        moves.append(Move(number, "", before, None if version == "0" else version, "", kinds[kind], "", "", ""))
    assert [ref.version for ref in registry.earlier_champions(moves)] == list(left)


def test_the_challenger_is_the_newest_registered_version_whoever_writes_last(
    client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def challenger() -> str:
        return str(client.get_model_version_by_alias(registry.MODEL, registry.CHALLENGER).version)

    registry.set_challenger(registry.by_version("3"), "worse")
    assert challenger() == "3"
    version = client.get_model_version(registry.MODEL, "3")
    assert version.tags == {"promotion": "not promoted", "promotion_reason": "worse"}
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
