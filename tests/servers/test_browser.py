"""What a person sees: MLflow's and Prefect's pages in a real browser, after a small training and a small search.

Every test leaves screenshots, in the folder HEART_SCREENSHOTS if that is set; look at them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow

from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import RejectedError
from heart_disease.operations import states
from heart_disease.processes.loopback import free_port
from tests.harness.command import ROOT
from tests.harness.models.trainings import checked_here
from tests.harness.pages.browser import PATIENCE, chromium, expect, needs_browser, screenshots

pytestmark = [pytest.mark.slow, needs_browser]

SPACE = {"learning_rate": [0.001, 0.003], "weight_decay": [0.3, 1.0], "epochs": [10, 30]}
SEARCH = "4 configurations, random, seed 0"
Shoot = Callable[[str], None]


@dataclass(frozen=True)
class Site:
    """A training and a search, and the addresses at which `heart ui` shows them."""

    train: Any
    sweep: Any
    mlflow: str
    prefect: str

    @property
    def names(self) -> list[str]:
        """The configurations' names, the best one first."""
        return [recipe.title for recipe in self.sweep.summary.ranked]


@pytest.fixture(scope="module")
def site(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with its own store; the pages start while the search runs."""
    from prefect.settings import get_current_settings

    from flows import sweep, train

    folder = tmp_path_factory.mktemp("browser")
    ports = {"mlflow": free_port(), "prefect": free_port()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.chdir(folder)
        with checked_here():
            trained = train.train()
        harness = get_current_settings().to_environment_variables(exclude_unset=True)  # including its database
        process = subprocess.Popen(
            [sys.executable, "-m", "heart_disease", "ui", *(f"--{name}-port={port}" for name, port in ports.items())],
            env={**os.environ, **harness, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            evaluation = Evaluation(folds=3, repeats=1)
            searched = sweep.search(space=SPACE, configurations=4, evaluation=evaluation, inner_folds=2)
            assert process.stdout
            assert "MLflow" in process.stdout.readline()
            yield Site(trained, searched, *(f"http://127.0.0.1:{port}" for port in ports.values()))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A new visitor's page; all requests to other machines are refused."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(PATIENCE)
    asked: list[str] = []

    def refuse(route: Any) -> None:
        asked.append(route.request.url)
        route.abort()

    context.route(re.compile(r"^https?://(?!127\.0\.0\.1[:/])"), refuse)
    yield context.new_page()
    context.close()
    assert not asked, "a page asked another host"


@pytest.fixture
def shoot(page: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shoot]:
    """A function that saves a screenshot under a name; a failed test also saves one."""
    folder = screenshots(tmp_path)
    print(f"screenshots: {folder}")  # pytest shows this if the test fails

    def save(name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")

    before = request.session.testsfailed
    yield save
    if request.session.testsfailed > before:
        save(f"failed {request.function.__name__}")


@pytest.fixture
def mlflow(page: Any, shoot: Shoot, site: Site) -> Any:
    """MLflow's page, once a visitor has clicked through to the trained models."""
    page.goto(f"{site.mlflow}/#/experiments")
    page.get_by_role("button", name="Model training", exact=True).click()
    page.get_by_role("button", name="Close", exact=True).click()  # the assistant opens by itself
    return page


def open_table(mlflow: Any, site: Site) -> list[Any]:
    """Open the newest search's view; returns its rows, the best configuration first."""
    mlflow.get_by_role("link", name="heart-disease sweeps").click()
    mlflow.get_by_role("button", name="Views").click()
    mlflow.get_by_text("Newest search, best first").click()
    rows = [mlflow.get_by_role("row").filter(has=mlflow.get_by_role("link", name=name)) for name in site.names]
    for row in rows:
        expect(row).to_be_visible()
    return rows


def test_an_experiment_says_what_it_is_and_a_search_unfolds(mlflow: Any, shoot: Shoot, site: Site) -> None:
    expect(mlflow.get_by_text("A run for each search of recipes")).to_be_visible()
    expect(mlflow.get_by_text("A run for each `heart train`")).to_be_visible()
    shoot("mlflow 1 experiments")
    mlflow.get_by_role("link", name="heart-disease sweeps").click()
    search = mlflow.get_by_role("row").filter(has_text=SEARCH)
    search.get_by_role("button").click()
    for name in site.names:
        expect(mlflow.get_by_role("link", name=name)).to_be_visible()
    shoot("mlflow 2 search")


def test_the_table_has_metrics_and_differing_parameters_best_first(mlflow: Any, shoot: Shoot, site: Site) -> None:
    rows = open_table(mlflow, site)
    columns = ("log_loss", "log_loss_low", "log_loss_high", "roc_auc", "epochs", "learning_rate", "weight_decay")
    for column in (*columns, "chosen"):
        expect(mlflow.get_by_role("columnheader", name=column, exact=True).last).to_be_visible()
    tops = [row.bounding_box()["y"] for row in rows]
    assert tops == sorted(tops)
    assert len({colour for row in rows for colour in re.findall("#[0-9a-f]{6}", row.inner_text())}) == 4
    expect(mlflow.get_by_role("columnheader", name="hidden")).to_have_count(0)  # it is the same for all
    expect(mlflow.get_by_role("gridcell", name=re.compile(r"\d+ epochs, 0\.\d"))).to_have_count(1)
    shoot("mlflow 3 table")
    mlflow.locator("label", has=mlflow.locator("input[value=CHART]")).click()  # an icon without a name
    parallel = mlflow.get_by_text("Parallel Coordinates", exact=True)
    expect(parallel).to_be_visible()
    for axis in ("epochs", "learning_rate", "weight_decay", "log_loss"):
        expect(mlflow.locator("text", has_text=re.compile(f"^{axis}$")).first).to_be_visible()
    for metric in ("loss/train", "loss/test"):
        expect(mlflow.get_by_text(metric, exact=True)).to_be_visible()
    assert parallel.bounding_box()["y"] < mlflow.get_by_text("loss/train", exact=True).bounding_box()["y"]
    expect(mlflow.get_by_text("roc_auc_low", exact=True)).to_have_count(0)  # its group is folded
    expect(mlflow.get_by_text(site.names[0]).last).to_be_visible()
    shoot("mlflow 4 charts")


def test_two_configurations_compared(mlflow: Any, shoot: Shoot, site: Site) -> None:
    for row in open_table(mlflow, site)[:2]:
        row.get_by_role("checkbox").first.check()
    mlflow.get_by_role("button", name="Compare", exact=True).click()
    expect(mlflow.get_by_role("heading", name="Comparing 2 Runs")).to_be_visible()
    expect(mlflow.get_by_role("tab", name="Parallel Coordinates Plot")).to_have_attribute("aria-selected", "true")
    plot = mlflow.locator(".js-plotly-plot")  # Plotly's own name
    expect(plot).to_contain_text("log_loss")
    differs = [one for one in SPACE if len({getattr(p, one) for p in site.sweep.summary.ranked[:2]}) > 1]
    assert differs
    for parameter in differs:
        expect(plot).to_contain_text(parameter)
    for name in site.names[:2]:
        expect(mlflow.get_by_text(name, exact=True).first).to_be_visible()
    shoot("mlflow 5 compare")

    curve = mlflow.get_by_role("link", name="loss/test", exact=True)
    # Not by a click, which is lost if a slow machine redraws the page just then.
    mlflow.goto(urljoin(mlflow.url, curve.get_attribute("href")))
    expect(mlflow.get_by_role("heading", name="loss/test").first).to_be_visible()
    for name in site.names[:2]:
        expect(mlflow.get_by_text(f"{name} (loss/test)")).to_be_visible()
    drawn = plot.evaluate("plot => plot.data.map(curve => [curve.name, Array.from(curve.x)])")
    assert {name for name, _ in drawn} == set(site.names[:2])
    assert all(epochs == list(range(1, 31)) for _, epochs in drawn)
    shoot("mlflow 6 curves")


def test_a_search_says_what_it_tried_and_what_it_chose(page: Any, shoot: Shoot, site: Site) -> None:
    from heart_disease.registry.access import store

    run = site.sweep.run
    page.goto(store.run_url(run).replace(store.LOCAL_PAGE, site.mlflow))
    expect(page.get_by_role("heading", name=SEARCH)).to_be_visible()
    expect(page.get_by_role("link", name="Model registry")).to_be_visible()  # so the address alone leads here
    expect(page.get_by_text("Chosen: ").first).to_be_visible()
    page.get_by_text("Show more").click()
    for cell in ("0.001, 0.003", "0.3, 1.0", "10, 30"):
        expect(page.get_by_role("cell", name=cell, exact=True)).to_be_visible()
    expect(page.get_by_text("cleveland (")).to_be_visible()
    page.get_by_role("heading", name="Description").scroll_into_view_if_needed()
    shoot("mlflow 7 search's run")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="the best one").click()
    expect(opened.value.get_by_role("heading", name=site.names[0])).to_be_visible()


def test_a_configurations_run_has_figures_with_both_ends(mlflow: Any, shoot: Shoot, site: Site) -> None:
    best = open_table(mlflow, site)[0]
    best.get_by_role("link").click()
    expect(mlflow.get_by_role("heading", name=site.names[0])).to_be_visible()
    expect(mlflow.get_by_role("link", name=SEARCH)).to_be_visible()
    expect(mlflow.get_by_text("Figures at ")).to_be_visible()
    for metric in ("log_loss", "log_loss_low", "log_loss_high"):
        expect(mlflow.get_by_role("link", name=metric, exact=True)).to_be_visible()
    shoot("mlflow 8 configuration's run")


def test_a_trainings_run_has_table_metrics_and_parameters(mlflow: Any, shoot: Shoot, site: Site) -> None:
    mlflow.get_by_role("link", name="heart-disease", exact=True).click()
    mlflow.get_by_role("link", name="29-16-1, 75 epochs").click()
    expect(mlflow.get_by_role("columnheader", name="logistic regression")).to_be_visible()
    expect(mlflow.get_by_role("cell", name="log loss")).to_be_visible()
    shoot("mlflow 9 training's run")
    mlflow.get_by_placeholder("Search metrics").fill("log_loss")
    for metric in ("log_loss", "log_loss_low", "log_loss_high"):
        expect(mlflow.get_by_role("link", name=metric, exact=True)).to_be_visible()
    mlflow.get_by_placeholder("Search parameters").fill("epochs")
    expect(mlflow.get_by_text("75", exact=True)).to_be_visible()


def test_the_registered_model_has_a_champion(mlflow: Any, shoot: Shoot, site: Site) -> None:
    mlflow.get_by_role("link", name="Model registry").click()
    mlflow.get_by_role("button", name="Try it now").click()  # a notice for first-time visitors
    mlflow.get_by_role("link", name="heart-disease", exact=True).click()
    expect(mlflow.get_by_text("Probability of heart disease").first).to_be_visible()
    expect(mlflow.get_by_text("champion", exact=True).first).to_be_visible()
    expect(mlflow.get_by_text("promotion").first).to_be_visible()
    shoot("mlflow 10 model")
    mlflow.get_by_role("link", name="Version 1").click()
    expect(mlflow.get_by_text(f"champion: {site.train.decision.reason}").first).to_be_visible()
    expect(mlflow.get_by_text("Inputs (13)")).to_be_visible()
    shoot("mlflow 11 version")


@pytest.mark.parametrize(
    ("flow", "title", "outcome", "tasks", "artifacts"),
    [
        (
            "train",
            "cleveland: 29-16-1",
            "Promoted",
            ("load cleveland.csv", "validate", "encode", "train 51 networks at once", "evaluate", "register"),
            ("validation", "metrics", "decision", "report", "mlflow-run"),
        ),
        (
            "sweep",
            "4 configurations, seed 0",
            None,
            ("load cleveland.csv", "validate", "cross-validate 4 configurations of 29-16-1", "choose"),
            ("validation", "sweep", "mlflow-run"),
        ),
    ],
)
def test_prefect_shows_the_flow_its_tasks_and_artifacts(
    flow: str,
    title: str,
    outcome: str | None,
    tasks: tuple[str, ...],
    artifacts: tuple[str, ...],
    page: Any,
    shoot: Shoot,
    site: Site,
) -> None:
    page.goto(f"{site.prefect}/runs/flow-run/{getattr(site, flow).flow_run_id}")
    expect(page.get_by_text(title).first).to_be_visible()
    for text in filter(None, ("Completed", outcome)):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    page.get_by_text("Task Runs", exact=True).click()
    for name in tasks:
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    shoot(f"prefect {flow} tasks")
    page.get_by_text("Artifacts", exact=True).click()
    for name in artifacts:
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    shoot(f"prefect {flow} artifacts")


@pytest.mark.usefixtures("prefect")
def test_a_deployments_page_lists_its_runs_whatever_their_outcome(page: Any, shoot: Shoot, site: Site) -> None:
    ends = {
        "promoted": lambda: states.completed("Promoted", "version 1: champion"),
        "held back": lambda: states.completed("NotPromoted", "version 2: NOT promoted, challenger"),
        "refused": lambda: states.failed(RejectedError("row 4")),
    }

    @flow(name="outcomes")
    def end(name: str) -> Any:
        return ends[name]()

    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(end), "each")
        for name in ends:
            run = client.create_flow_run_from_deployment(deployment, name=name, parameters={"name": name})
            run_flow(end, flow_run=run, parameters={"name": name}, return_type="state")
    page.goto(f"{site.prefect}/deployments/deployment/{deployment}?tab=Runs")
    for text in (*ends, "Promoted", "NotPromoted", "Rejected"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    shoot("prefect deployment's runs")
