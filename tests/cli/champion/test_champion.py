"""`heart champion`, `history`, `promote` and `rollback`, on a store with four small models."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry.champions import settle
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.command import ROOT, heart
from tests.harness.data import patients
from tests.harness.models.stores import replace_database, store_in
from tests.harness.models.trainings import checked_here

Said = Callable[[], str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with versions 1 to 4 of an untrained model, each from its own run; no alias. 4 says yes from 0.2 on."""
    folder = tmp_path_factory.mktemp("made")
    table = patients.make(60)
    model = PatientModel(Encoder.fit(table), network.build(Recipe(hidden=(2,)), 29))
    with store_in(folder):
        for number in range(1, 5):
            with registry.open_run(f"recipe {number}", {}) as run:
                one = replace(model, threshold=0.2 if number == 4 else 0.5)
                registry.log_model(run, one, table.head(2)[list(schema.INPUT_NAMES)])
                for end, value in (("", 0.4), ("_low", 0.3), ("_high", 0.5)):
                    mlflow.MlflowClient().log_metric(run.run_id, f"log_loss{end}", value + number / 1000)
    return folder / "mlflow.db"


@pytest.fixture(scope="module")
def moved(made: Path) -> Path:
    """The same store, after 1, 2 and 3 have been champion."""
    database = made.with_name("moved.db")
    replace_database(made, database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        for number, why in enumerate(["the first", "better than 1", "better than 2 " * 12], 1):
            before = registry.by_version(str(number - 1)) if number > 1 else None
            ref = registry.by_version(str(number))
            registry.set_challenger(ref, why)
            registry.move_champion(ref, expected=before, kind="promotion", why=why)
    return database


@pytest.fixture
def database(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database that the commands use, the same for every test, because MLflow takes a second to open another."""
    used = made.with_name("used.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{used}")
    return used


@pytest.fixture
def unmoved(made: Path, database: Path) -> None:
    """The store has no champion, and never had one."""
    replace_database(made, database)


@pytest.fixture
def store(moved: Path, database: Path) -> Iterator[mlflow.MlflowClient]:
    """In the store, 1, 2 and 3 have been champion. Versions are tested in this process."""
    replace_database(moved, database)
    with checked_here():
        yield mlflow.MlflowClient()


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """A function that returns what was printed since its last call, as one line."""
    return lambda: " ".join(" ".join(capsys.readouterr()).split())


def champions() -> list[str | None]:
    return [move.after for move in registry.history()]


def test_champion_says_what_it_is_and_why(store: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("champion") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "heart-disease version 3: champion"
    assert "  recipe     recipe 3" in lines
    assert "  log loss   0.403 [0.303, 0.503]" in lines
    assert re.search(
        r"\n  since      \d{4}-\d\d-\d\d \d\d:\d\d, promotion \(\S+\)\n  why        better than 2", "\n".join(lines)
    )
    assert f"  run        {registry.champion().run_id}" in lines
    assert "  threshold  yes from a probability of 0.500 on" in lines


def test_champion_shows_a_version_that_cannot_be_loaded(store: mlflow.MlflowClient, said: Said) -> None:
    registry.log_version_tags(registry.champion(), {"artifact_digest": "of other files"})
    assert heart("champion") == 0
    assert "threshold unknown, because it cannot be loaded" in said()
    assert heart("champion", "--json") == 0
    assert json.loads(said())["threshold"] is None


def test_programs_get_the_champion_and_its_history_as_json(
    store: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heart("champion", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    run_id = registry.champion().run_id
    assert found["champion"] == {"name": registry.MODEL, "version": "3", "run_id": run_id}
    assert found["threshold"] == 0.5
    assert found["log_loss"] == pytest.approx({"value": 0.403, "low": 0.303, "high": 0.503})
    assert heart("history", "--json") == 0
    moves = json.loads(capsys.readouterr().out)
    assert [(move["before"], move["after"]) for move in moves] == [("2", "3"), ("1", "2"), (None, "1")]
    assert moves[0] == found["move"]


def test_history_lists_every_move_newest_first(store: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("history") == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    moves = [re.search(r"(\S+) -> (\S+)  promotion \(.+\), run ([0-9a-f]{8})$", line) for line in lines]
    found = [move.groups() for move in moves if move]
    runs = [registry.by_version(str(number)).run_id[:8] for number in (3, 2, 1)]
    assert found == [("2", "3", runs[0]), ("1", "2", runs[1]), ("none", "1", runs[2])]
    assert lines[-1] == "  the first"
    assert lines[1].startswith("  better than 2 better")
    assert len(lines) == 2 * 3 + 2  # a long reason has three lines


def test_history_shows_moves_made_in_mlflow_itself(store: mlflow.MlflowClient, said: Said) -> None:
    store.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "1")
    assert heart("history") == 0
    assert "3 -> 1 outside, run" in said()
    store.delete_registered_model_alias(registry.MODEL, registry.CHAMPION)
    settle(patience=0)
    assert heart("history") == 0
    assert "1 -> none outside, no run moved in MLflow itself" in said()


@pytest.mark.parametrize(
    "command", [["champion"], ["history"], ["rollback"], ["promote", "challenger", "--because", "x"]]
)
def test_without_a_champion_every_command_says_so(command: list[str], unmoved: None, said: Said) -> None:
    assert heart(*command) == 4
    expected = "no challenger in" if command[0] == "promote" else "no champion of 'heart-disease' in"
    message = said()
    assert expected in message
    assert "heart train" in message
    assert mlflow.MlflowClient().get_experiment_by_name("heart-disease champions") is None


def test_without_a_champion_the_challenger_is_named(store: mlflow.MlflowClient, said: Said) -> None:
    store.delete_registered_model_alias(registry.MODEL, registry.CHAMPION)
    settle(patience=0)
    assert heart("champion") == 4
    assert "`heart promote 3 --because WHY`" in said()
    assert heart("promote", "challenger", "--because", "it was taken away") == 0
    assert champions() == ["1", "2", "3", None, "3"]


def test_promote_makes_a_version_champion_with_a_reason(store: mlflow.MlflowClient, said: Said) -> None:
    assert heart("promote", "1", "--because", "the doctors trust it") == 0
    assert said() == "heart-disease version 1: champion; before: 3"
    move = registry.history()[-1]
    assert (move.before, move.after, move.kind, move.why) == ("3", "1", "by hand", "the doctors trust it")
    assert registry.champion().version == "1"
    assert heart("promote", "challenger", "--because", "and back", "--json") == 0
    found = json.loads(said())
    assert (found["champion"]["version"], found["before"]["version"]) == ("3", "1")
    assert found["threshold"] == found["threshold_before"] == 0.5
    assert champions() == ["1", "2", "3", "1", "3"]


def test_a_move_to_a_version_that_answers_yes_from_elsewhere_says_so(
    store: mlflow.MlflowClient, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert heart("promote", "4", "--because", "it misses fewer") == 0
    assert said().endswith("before: 3 It answers yes from 0.200 on; version 3 did from 0.500 on.")
    load = registry.load_model

    def damaged(ref: registry.ModelRef) -> PatientModel:
        if ref.version == "4":
            raise UnavailableError("it was changed")
        return load(ref)

    monkeypatch.setattr(registry, "load_model", damaged)
    assert heart("rollback") == 0
    assert "It answers yes from 0.500 on; version 4 cannot be asked from where it did." in said()
    assert registry.champion().version == "3"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["promote", "4"], 2, "--because"),
        (["promote", "4", "--because", " "], 2, "--because is empty"),
        (["promote", "3", "--because", "x"], 2, "version 3 is champion already; expected another version. Nothing was"),
        (["promote", "challenger", "--because", "x"], 2, "version 3 is champion already"),
        (["promote", "newest", "--because", "x"], 2, "version 'newest': expected a number, or challenger"),
        (["promote", "-1", "--because", "x"], 2, "-1"),
        (["promote", "99", "--because", "x"], 4, "no version 99 of 'heart-disease'"),
        (["promote", "99999999999999999999", "--because", "x"], 2, "expected a number, or challenger"),
        (["rollback", "--because", ""], 2, "--because is empty"),
    ],
)
def test_invalid_arguments_move_nothing(
    arguments: list[str], code: int, message: str, store: mlflow.MlflowClient, said: Said
) -> None:
    assert heart(*arguments) == code
    assert message in said()
    assert champions() == ["1", "2", "3"]


def test_a_version_that_does_not_load_is_not_promoted(store: mlflow.MlflowClient, tmp_path: Path, said: Said) -> None:
    run_id = registry.champion().run_id
    made = store.create_model_version(registry.MODEL, str(tmp_path / "nowhere"), run_id)
    assert heart("promote", str(made.version), "--because", "x") == 4
    message = said()
    assert f"heart-disease version {made.version} was not loaded:" in message
    assert champions() == ["1", "2", "3"]


def test_a_version_that_scores_nobody_is_not_promoted(store: mlflow.MlflowClient) -> None:
    blank = sources.load().frame.assign(age=0.0)
    with pytest.raises(UnavailableError, match="0 probabilities for 303 patients"):
        registry.check_loads(registry.by_version("1"), blank)


def test_rollback_goes_one_champion_further_back_each_time(store: mlflow.MlflowClient, said: Said) -> None:
    assert heart("rollback", "--because", "3 was a mistake") == 0
    assert said() == "heart-disease version 2: champion; before: 3"
    assert heart("rollback") == 0
    assert champions() == ["1", "2", "3", "2", "1"]
    kinds_and_reasons = [(move.kind, move.why) for move in registry.history()[-2:]]
    assert kinds_and_reasons == [("rollback", "3 was a mistake"), ("rollback", "rolled back from version 2")]
    said()
    assert heart("rollback") == 4
    assert "nothing to roll back to" in said()
    assert registry.champion().version == "1"


def test_rollback_skips_a_deleted_version(store: mlflow.MlflowClient) -> None:
    store.delete_model_version(registry.MODEL, "2")
    assert heart("rollback") == 0
    assert champions()[-1] == registry.champion().version == "1"


def test_a_champion_that_moves_while_another_is_promoted_ends_in_5(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    def slow(ref: registry.ModelRef, rows: object) -> PatientModel:
        registry.move_champion(registry.by_version("2"), expected=registry.champion(), kind="by hand", why="quicker")
        return registry.load_model(ref)

    monkeypatch.setattr(registry, "check_loads", slow)
    assert heart("promote", "4", "--because", "x") == 5
    assert "the champion moved from version 3 to version 2 meanwhile; version 4 was not compared" in said()
    assert champions() == ["1", "2", "3", "2"]


def test_read_only_commands_import_neither_tensorflow_nor_prefect(store: mlflow.MlflowClient) -> None:
    script = (
        "import sys\n"
        "from heart_disease.cli import main\n"
        "assert [main.main([command]) for command in ('champion', 'history')] == [0, 0]\n"
        "heavy = {'prefect', 'tensorflow', 'keras', 'sklearn', 'great_expectations'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
