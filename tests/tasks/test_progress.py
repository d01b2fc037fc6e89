"""Long work shows how far it is on the flow run's page; it neither waits for the server nor fails with it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from prefect import flow, runtime
from prefect.artifacts import ProgressArtifact
from prefect.client.orchestration import SyncPrefectClient

from heart_disease.training import engine
from heart_disease.training.recipe import Recipe
from tasks import progress
from tasks.progress import Progress
from tests.harness.pages.artifacts import read_artifacts
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """All work counts as long, and is shown at once."""
    monkeypatch.setattr(progress, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(progress, "SEND_SECONDS", 0.01)


def shown(flow_run_id: str) -> list[float]:
    """The percentage on the flow run's page; none if it shows no progress."""
    return [artifact.data for artifact in read_artifacts("progress", flow_run_id)]


@flow(name="work", persist_result=False)
def work(shares: list[float], error: bool = False) -> tuple[str, list[list[float]]]:
    """Work that waits after each share until the page shows it; returns what the page showed."""
    run, seen = str(runtime.flow_run.id), []
    with Progress("Some work.") as page:
        for share in shares:
            page.tell(share)
            seen.append(wait_for(lambda share=share: [one for one in shown(run) if one == 100 * share]))
        if error:
            raise ArithmeticError(run)
        page.tell(1)
    return run, seen


@pytest.mark.usefixtures("long")
def test_one_artifact_follows_the_work_and_ends_at_100() -> None:
    run, seen = work([0.25, 0.5])
    assert seen == [[25], [50]]
    assert shown(run) == [100]
    [artifact] = read_artifacts("progress", run)
    assert (artifact.type, artifact.description) == ("progress", "Some work.")


@pytest.mark.usefixtures("long")
def test_work_that_fails_leaves_the_share_that_it_had_reached() -> None:
    with pytest.raises(ArithmeticError) as failed:
        work([0.25], error=True)
    assert shown(str(failed.value)) == [25]


def test_short_work_has_no_artifact() -> None:
    run, _ = work([])
    assert shown(run) == []


@pytest.mark.usefixtures("long")
def test_work_goes_on_while_the_server_is_away_and_the_page_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, away = threading.Event(), threading.Event()
    update = SyncPrefectClient.update_artifact

    def fail(client: SyncPrefectClient, *given: Any, **named: Any) -> None:
        asked.set()
        if away.is_set():
            raise ConnectionError
        update(client, *given, **named)

    monkeypatch.setattr(SyncPrefectClient, "update_artifact", fail)

    @flow(name="work", persist_result=False)
    def through_an_outage() -> str:
        run = str(runtime.flow_run.id)
        with Progress("Some work.") as page:
            page.tell(0.1)
            wait_for(lambda: shown(run) == [10])
            away.set()
            asked.clear()
            page.tell(0.2)
            assert wait_for(asked.is_set)
            assert shown(run) == [10]
            away.clear()
            wait_for(lambda: shown(run) == [20])
            away.set()
            page.tell(1)
        return run

    assert shown(through_an_outage()) == [20]


@pytest.mark.usefixtures("long")
def test_the_end_of_the_work_waits_only_a_moment_for_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    hung = threading.Event()
    monkeypatch.setattr(progress, "END_SECONDS", 0.01)
    monkeypatch.setattr(ProgressArtifact, "create", lambda *_, **__: hung.wait(60))

    @flow(name="work", persist_result=False)
    def to_the_end() -> bool:
        with Progress("Some work."):
            pass
        return not hung.is_set()

    try:
        assert to_the_end()
    finally:
        hung.set()


@pytest.mark.usefixtures("long")
def test_a_training_is_shown_by_its_flow_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from heart_disease.data import sources
    from heart_disease.evaluation.contest import Contest
    from heart_disease.evaluation.settings import Evaluation
    from tasks import stages

    told: list[tuple[int, int]] = []
    train = engine.train

    def half(*given: Any, progress: Any, **named: Any) -> Any:
        progress(1, 2)
        wait_for(lambda: shown(str(runtime.flow_run.id)) == [50])
        return train(*given, progress=lambda *done: (told.append(done), progress(*done)), **named)

    monkeypatch.setattr(engine, "train", half)

    @flow(name="work", persist_result=False)
    def a_training() -> str:
        contest = Contest.on(sources.load().frame, Recipe(epochs=1), Evaluation(folds=2, repeats=1), None)
        stages.train(contest, "cpu")
        return str(runtime.flow_run.id)

    assert shown(a_training()) == [100]
    assert told
