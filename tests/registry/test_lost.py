"""What somebody deletes in MLflow: the history, the model, an experiment. It is said, and nothing else breaks."""

from __future__ import annotations

import logging

import mlflow
import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from heart_disease import registry
from heart_disease.model.errors import HistoryError, MovedError, OriginError, UnavailableError
from heart_disease.registry import champions, models, moves
from tests.harness.command import heart, one_line
from tests.harness.models.champions import alias, move, path
from tests.harness.models.stores import delete_for_good

sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
pytestmark = sqlite


def history_run() -> str:
    run_id = moves.read().run_id
    assert run_id
    return run_id


def delete_the_model_and_register_again(client: mlflow.MlflowClient, versions: int) -> str:
    """The run of the new versions, which count from 1 again."""
    client.delete_registered_model(registry.MODEL)
    client.create_registered_model(registry.MODEL)
    run_id = client.create_run("0").info.run_id
    for _ in range(versions):
        client.create_model_version(registry.MODEL, "nowhere", run_id)
    return str(run_id)


def test_a_rollback_returns_to_no_other_version_of_the_same_number(
    client: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    move(1, None)
    old = registry.champion()
    delete_the_model_and_register_again(client, 2)
    champions.settle(patience=0)
    assert heart("rollback") == 4
    said = one_line(capsys.readouterr().err)
    assert "nothing to roll back from: there is no champion" in said
    assert registry.earlier_champions(registry.history()) == [old]
    assert alias() is None
    move(2, None)  # the new model has a history of its own
    move(1, 2)
    assert registry.earlier_champions(registry.history()) == [registry.by_version("2"), old]


def test_another_version_of_the_champions_number_is_another_champion(client: mlflow.MlflowClient) -> None:
    move(1, None)
    old = registry.champion()
    run_id = delete_the_model_and_register_again(client, 2)
    client.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "1")
    champions.settle(patience=0)
    assert [(it.after, it.run_id, it.kind) for it in registry.history()] == [
        ("1", old.run_id, "promotion"), ("1", run_id, "outside"),
    ]  # fmt: skip
    with pytest.raises(MovedError, match=f"from version 1 of run {old.run_id} to version 1 of run {run_id}"):
        registry.move_champion(registry.by_version("2"), expected=old, kind="promotion", why="")


def test_a_version_that_was_deleted_while_it_was_trained_is_not_promoted_by_its_number(
    client: mlflow.MlflowClient,
) -> None:
    trained = registry.by_version("1")
    delete_the_model_and_register_again(client, 1)
    with pytest.raises(UnavailableError, match=f"expected that of run {trained.run_id}.* registered again"):
        registry.move_champion(trained, expected=None, kind="promotion", why="better")
    assert alias() is None


def test_a_move_whose_version_was_replaced_moves_nothing(client: mlflow.MlflowClient) -> None:
    move(1, None)
    log = champions.settle()
    assert moves.append(log, log.next(registry.by_version("2"), "promotion", "", ""))  # its writer dies here
    delete_the_model_and_register_again(client, 2)
    champions.settle(patience=0)
    assert alias() is None
    assert client.get_model_version(registry.MODEL, "2").description in (None, "")


def test_a_hidden_history_is_read_and_takes_moves_again_when_it_is_restored(
    client: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    kept = move(1, None)
    client.delete_run(history_run())
    for command in ("champion", "history"):
        caplog.clear()
        assert heart(command) == 0
        assert f"mlflow runs restore --run-id {history_run()}" in caplog.text
    assert registry.history() == [kept]
    assert registry.find_champion() == registry.by_version("1")
    with pytest.raises(HistoryError, match=f"mlflow runs restore --run-id {history_run()}"):
        move(2, 1)
    assert alias() == "1"
    client.restore_run(history_run())
    assert path([kept, move(2, 1)]) == ["1", "2"]


def test_a_hidden_history_shows_where_the_alias_is_now(client: mlflow.MlflowClient) -> None:
    move(1, None)
    client.delete_run(history_run())
    client.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "3")
    assert registry.find_champion() == registry.by_version("3")
    assert [(it.after, it.kind) for it in registry.history()] == [("1", "promotion"), ("3", "outside")]
    client.restore_run(history_run())
    assert len(moves.read().moves) == 1


def test_a_new_history_begins_if_the_old_one_is_gone_and_that_is_said_once(
    client: mlflow.MlflowClient, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    move(1, None)
    move(2, 1)
    delete_for_good(history_run())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert heart("champion") == 0
            assert heart("history") == 0
    assert caplog.text.count("a new one begins") == 1
    assert path([*registry.history(), move(3, 2)]) == ["2", "3"]
    assert registry.history()[0].why == "was champion before this history began"
    names = [it.name for it in client.search_experiments(ViewType.ACTIVE_ONLY) if it.name.startswith(moves.HISTORY)]
    assert sorted(names)[0] == moves.HISTORY


def test_of_two_writers_that_find_the_history_gone_both_use_the_new_one(client: mlflow.MlflowClient) -> None:
    move(1, None)
    delete_for_good(history_run())
    lost = moves.read().lost
    assert lost
    assert moves._begin(lost) == moves._begin(lost) == moves.read().run_id


def test_an_experiment_of_that_name_that_is_not_ours_is_left_alone(client: mlflow.MlflowClient) -> None:
    client.create_experiment(moves.HISTORY)
    client.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "1")
    assert heart("champion") == 0
    with pytest.raises(HistoryError, match=r"lacks the tag 'history_run'.* Rename"):
        move(2, 1)


def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(client: mlflow.MlflowClient) -> None:
    experiment = registry.open_experiment("heart-disease lessons", "a test")
    client.delete_experiment(experiment)
    expected = (
        f"'heart-disease lessons' .* was deleted. Restore it: mlflow experiments restore --experiment-id {experiment}"
    )
    with (
        pytest.raises(UnavailableError, match=expected),
        registry.open_run("a run", {}, experiment="heart-disease lessons"),
    ):
        pass
    client.restore_experiment(experiment)
    with registry.open_run("a run", {}, experiment="heart-disease lessons"):
        pass


def test_descriptions_and_tags_of_both_versions_follow_every_move(client: mlflow.MlflowClient) -> None:
    def says(version: str) -> tuple[str, str, str]:
        found = client.get_model_version(registry.MODEL, version)
        return found.description, found.tags["promotion"], found.tags["promotion_reason"]

    registry.set_challenger(registry.by_version("1"), "the first")
    move(1, None, "the first")
    registry.set_challenger(registry.by_version("2"), "too weak")
    assert says("2")[0] == "not promoted: too weak"
    day = move(2, 1, "we want it", kind="by hand").when[:10]
    assert says("2") == ("champion: we want it", "champion", "we want it")
    assert says("1")[0] == f"former champion: version 2 took its place on {day}: we want it"
    move(1, 2, "it was wrong", kind="rollback")
    assert says("1") == ("champion: it was wrong", "champion", "it was wrong")
    assert says("2")[1:] == ("former champion", f"version 1 took its place on {day}: it was wrong")
    client.delete_registered_model_alias(registry.MODEL, registry.CHAMPION)
    champions.settle(patience=0)
    assert says("1")[0] == f"former champion: the alias was removed on {day}: moved in MLflow itself"


def test_a_model_card_stays_below_what_a_version_is_now(client: mlflow.MlflowClient) -> None:
    first = registry.by_version("1")
    registry.log_card(first, "an earlier card")
    registry.log_card(first, "the card")
    registry.set_challenger(first, "too weak")
    assert client.get_model_version(registry.MODEL, "1").description == "not promoted: too weak\n\n---\n\nthe card"
    move(1, None, "we want it")
    assert client.get_model_version(registry.MODEL, "1").description == "champion: we want it\n\n---\n\nthe card"


def test_the_models_own_description_has_the_card_of_the_champion_after_every_move(client: mlflow.MlflowClient) -> None:
    def says() -> str:
        return str(client.get_registered_model(registry.MODEL).description)

    for version in ("1", "2"):
        registry.log_card(registry.by_version(version), f"card {version}")
    move(1, None, "the first")
    assert says() == f"{models.DESCRIPTION}\n\n---\n\nThe champion is **version 1**: the first\n\ncard 1"
    client.update_registered_model(registry.MODEL, says().replace(models.DESCRIPTION, "Our own words."))
    move(2, 1, "we want it", kind="by hand")
    assert says() == "Our own words.\n\n---\n\nThe champion is **version 2**: we want it\n\ncard 2"
    client.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "3")  # a version of old has no card
    champions.settle(patience=0)
    assert says() == "Our own words.\n\n---\n\nThe champion is **version 3**: moved in MLflow itself"
    client.delete_registered_model_alias(registry.MODEL, registry.CHAMPION)
    champions.settle(patience=0)
    assert says() == "Our own words."


def test_a_description_that_cannot_be_written_stops_no_move_and_the_next_one_writes_it(
    client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise MlflowException("the disk is full")

    move(1, None, "the first")
    with monkeypatch.context() as broken:
        broken.setattr(mlflow.MlflowClient, "update_registered_model", refuse)
        second = move(2, 1, "better")
    assert registry.history()[-1] == second
    assert registry.champion().version == "2"
    assert "version 2" not in client.get_registered_model(registry.MODEL).description
    assert "'heart-disease' still shows the champion before: the disk is full." in caplog.text
    move(3, 2, "better still")
    assert "The champion is **version 3**: better still" in client.get_registered_model(registry.MODEL).description


def test_a_version_without_its_run_and_its_model_has_no_origin(client: mlflow.MlflowClient) -> None:
    ref = registry.by_version("1")
    delete_for_good(ref.run_id)
    with pytest.raises(OriginError, match=f"the run {ref.run_id} .* is gone"):
        registry.origin_of(ref)
    assert not registry.finish_try(ref, "flow")
