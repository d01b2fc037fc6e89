"""`heart prune` deletes only what is old and not needed, together with everything that belongs to it."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlparse
from uuid import UUID

import mlflow
import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound, ParameterTypeError

from flows.prune import prune as pruning_flow
from heart_disease import registry
from heart_disease.cli.operate import prune as command
from heart_disease.operations import prune
from heart_disease.registry import moves
from heart_disease.registry.access import store as stores
from heart_disease.registry.cleaning import hidden
from tests.harness.models.stores import delete_for_good
from tests.harness.pages.artifacts import read_artifacts

DAY = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables; MLflow takes a second to make them."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").create_registered_model(registry.MODEL)
    return path


@pytest.fixture(autouse=True)
def store(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(database, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")


def experiment(name: str) -> str:
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def trained(days_ago: int, *, name: str = registry.EXPERIMENT, ended: bool = True, **tags: str) -> str:
    """A run with a file."""
    client, when = mlflow.MlflowClient(), int(time.time() * 1000) - days_ago * DAY
    run = client.create_run(experiment(name), start_time=when, tags=tags).info.run_id
    client.log_text(run, "x" * 1000, "figures/roc.svg")
    if ended:
        client.set_terminated(run, end_time=when)
    return str(run)


def uploaded(run: str) -> str:
    """A model of the run that is not registered."""
    client = mlflow.MlflowClient()
    model = client.create_logged_model(experiment(registry.EXPERIMENT), "model", source_run_id=run)
    folder = Path(unquote(urlparse(model.artifact_location).path))
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("x" * 1000)
    return str(client.finalize_logged_model(model.model_id, "READY").model_id)


def registered(run: str) -> str:
    """A version of a model of the run."""
    model = uploaded(run)
    made = mlflow.MlflowClient().create_model_version(registry.MODEL, f"models:/{model}", run, model_id=model)
    return str(made.version)


def promoted(run: str) -> str:
    """A version that becomes champion."""
    version = registered(run)
    before = registry.find_champion()
    registry.move_champion(registry.by_version(version), expected=before, kind="promotion", why="a test")
    return version


def find(days: int = 90) -> registry.Unneeded:
    return registry.find_unneeded(int(time.time() * 1000) - days * DAY)


def test_an_old_run_goes_with_its_version_its_model_and_its_files() -> None:
    run = trained(100)
    version = registered(run)
    client = mlflow.MlflowClient()
    [model] = client.search_logged_models([experiment(registry.EXPERIMENT)])
    places = [client.get_run(run).info.artifact_uri, model.artifact_location]
    found = find()
    assert (found.runs, found.versions, found.models, found.bytes) == ([run], [version], [model.model_id], 2000)
    assert registry.delete(found)
    for place in places:
        assert not any(path.is_file() for path in Path(unquote(urlparse(place).path)).rglob("*"))
    with pytest.raises(MlflowException, match="not found"):
        client.get_run(run)
    assert registry.versions() == []
    assert find() == registry.Unneeded([], [], [], 0)


def test_all_past_champions_and_versions_with_an_alias_are_kept() -> None:
    first, second, challenger = trained(300), trained(200), trained(100)
    promoted(first)
    promoted(second)
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(registry.MODEL, "mine", registered(challenger))
    assert find() == registry.Unneeded([], [], [], 0)
    registry.delete(find())
    assert [move.after for move in registry.history()] == ["1", "2"]
    assert registry.champion().run_id == second


def test_a_past_champion_is_kept_although_the_history_is_lost() -> None:
    promoted(trained(300))
    promoted(trained(200))
    run_id = moves.read().run_id
    assert run_id
    delete_for_good(run_id)
    assert find() == registry.Unneeded([], [], [], 0)


def test_a_version_is_not_kept_for_the_number_of_a_past_champion() -> None:
    promoted(trained(300))
    client = mlflow.MlflowClient()
    client.delete_registered_model(registry.MODEL)
    client.create_registered_model(registry.MODEL)
    run = trained(200)
    assert registered(run) == "1"
    assert run in find().runs


def test_recent_and_unfinished_runs_are_kept() -> None:
    trained(100, ended=False)
    uploaded(trained(99, ended=False))
    registered(trained(1))
    assert find() == registry.Unneeded([], [], [], 0)
    assert len(find(days=0).runs) == 1


def test_a_search_is_kept_while_a_configuration_is_needed_and_deleted_as_a_whole() -> None:
    name = "heart-disease sweeps"
    above = trained(100, name=name)
    old, young = (trained(age, name=name, **{"mlflow.parentRunId": above}) for age in (100, 1))
    assert find().runs == []
    assert set(find(days=0).runs) == {above, old, young}


def test_the_figures_of_a_hospital_are_kept_as_long_as_their_version() -> None:
    champion, other = trained(100), trained(100)
    promoted(champion)
    registered(other)
    _, gone = (trained(100, name=registry.HOSPITALS, judged_run=run) for run in (champion, other))
    assert set(find().runs) == {other, gone}


def test_a_model_that_a_crash_left_without_a_version_is_deleted_at_once() -> None:
    run = trained(1)
    kept, left = registered(run), uploaded(run)
    found = find()
    assert (found.runs, found.versions, found.models) == ([], [], [left])
    registry.delete(found)
    assert registry.versions() == [kept]
    assert registry.by_version(kept).run_id == run


def test_hidden_runs_are_deleted_too_once_they_are_old() -> None:
    client = mlflow.MlflowClient()
    old, young = trained(100), trained(1)
    for run in (old, young):
        client.delete_run(run)
    assert find().runs == [old]
    registry.delete(find())
    left = client.search_runs([experiment(registry.EXPERIMENT)], "", ViewType.DELETED_ONLY)
    assert [run.info.run_id for run in left] == [young]


def test_others_runs_are_left_alone_even_if_they_have_deleted_them() -> None:
    client = mlflow.MlflowClient()
    theirs = trained(1000, name="heart-disease of others")
    client.delete_experiment(experiment("heart-disease of others"))
    trained(100)
    registry.delete(find())
    client.restore_experiment(client.get_run(theirs).info.experiment_id)
    assert client.get_run(theirs).info.status == "FINISHED"


def test_an_interrupted_deletion_is_finished_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        registered(trained(100))
    remove = stores.mlflow.MlflowClient.delete_run

    def once(client: mlflow.MlflowClient, run: str) -> None:
        monkeypatch.setattr(mlflow.MlflowClient, "delete_run", remove)
        raise KeyboardInterrupt

    monkeypatch.setattr(mlflow.MlflowClient, "delete_run", once)
    with pytest.raises(KeyboardInterrupt):
        registry.delete(find())
    registry.delete(find())
    assert find() == registry.Unneeded([], [], [], 0)


# What has been hidden for long, as in the database of a server


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", mlflow.get_tracking_uri())


def hide(run: str) -> None:
    mlflow.MlflowClient().delete_run(run)


@pytest.mark.usefixtures("backend")
def test_what_has_been_hidden_long_enough_is_removed_with_its_files() -> None:
    run = trained(1)
    model = uploaded(run)
    client = mlflow.MlflowClient()
    places = [client.get_run(run).info.artifact_uri, client.get_logged_model(model).artifact_location]
    hide(run)
    client.delete_logged_model(model)
    assert hidden.remove() == (0, 0)
    assert hidden.remove(timedelta(0)) == (1, 1)
    assert hidden.remove(timedelta(0)) == (0, 0)
    for place in places:
        assert not Path(unquote(urlparse(place).path)).exists()
    with pytest.raises(MlflowException, match="not found"):
        client.get_run(run)


@pytest.mark.usefixtures("backend")
def test_hidden_things_that_are_needed_or_belong_to_others_are_not_removed() -> None:
    champion, theirs = trained(300), trained(300, name="heart-disease of others")
    promoted(champion)
    trained(300)  # nothing needs it, but it is not hidden
    client = mlflow.MlflowClient()
    [model] = client.search_logged_models([experiment(registry.EXPERIMENT)])
    for run in (champion, theirs):
        hide(run)
    client.delete_logged_model(model.model_id)
    assert hidden.remove(timedelta(0)) == (0, 0)
    for run in (champion, theirs):
        client.restore_run(run)
        assert client.list_artifacts(run)


# In both stores


@pytest.fixture
def prefect_client(prefect: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def test_a_flow_run_goes_with_its_artifacts(prefect_client: SyncPrefectClient) -> None:
    @flow(name="heart-disease-train", persist_result=False)
    def old() -> str:
        create_markdown_artifact("text", key="decision")
        create_markdown_artifact("text", key="validation")
        return str(runtime.flow_run.id)

    ids = [old(), old()]
    found = prune.find(timedelta(0))
    assert set(ids) <= set(map(str, found.flow_runs))
    mine = prune.Found(found.unneeded, [UUID(ids[0])])
    prune.delete(mine)
    prune.delete(mine)  # as after an interruption
    assert [len(read_artifacts("decision", one) + read_artifacts("validation", one)) for one in ids] == [0, 2]
    with pytest.raises(ObjectNotFound):
        prefect_client.read_flow_run(UUID(ids[0]))


@pytest.mark.usefixtures("prefect")
def test_the_deployed_flow_deletes_what_is_older_than_it_is_told() -> None:
    run, young = trained(100), trained(80)
    assert list(pruning_flow(older_than="14w").unneeded.runs) == [run]
    assert list(pruning_flow(older_than="11w").unneeded.runs) == [young]
    assert find() == registry.Unneeded([], [], [], 0)


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("age", ["0d", "90", "soon"])
def test_the_deployed_flow_refuses_what_is_no_age(age: str) -> None:
    run = trained(100)
    with pytest.raises(ParameterTypeError, match="older_than"):
        pruning_flow(older_than=age)
    assert find().runs == [run]


@pytest.mark.slow
def test_the_command_lists_what_it_would_delete_and_deletes_only_on_request(
    prefect: None, capsys: pytest.CaptureFixture[str]
) -> None:
    @flow(name="heart-disease-train")
    def old() -> None:
        """Make an old run of ours."""

    old()
    registered(trained(100))
    command.prune(timedelta(0), delete=False, as_json=False)
    said = capsys.readouterr().out
    assert "1 MLflow run\n" in said
    assert "1 version, never champion" in said
    assert "nothing was deleted" in said
    flow_runs = int(re.findall(r"(\d+) Prefect flow runs?", said)[0])
    assert flow_runs >= 1
    command.prune(timedelta(0), delete=True, as_json=False)
    assert "deleted" in capsys.readouterr().out.splitlines()
    assert find(days=0).runs == []
    with get_client(sync_client=True) as client:
        assert prune._flow_runs(client, prune.datetime.now(prune.UTC)) == []
