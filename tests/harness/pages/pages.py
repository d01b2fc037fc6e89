"""What a person clicks on the pages of the servers, with a screenshot of each stop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.harness.pages.browser import expect


def prefect(page: Any, url: str, login: str, deployment: str, flow_run: str, folder: Path) -> None:
    """Log in, see that the deployment plans runs, and that the flow run has its artifacts."""
    page.goto(f"{url}/deployments")
    page.get_by_placeholder("admin:pass").fill(login)
    page.get_by_role("button", name="Login").click()
    expect(page.get_by_text("retrain").first).to_be_visible()
    page.goto(f"{url}/deployments/deployment/{deployment}?tab=Upcoming")
    expect(page.get_by_text(re.compile(r"[1-9]\d* Flow runs?"))).to_be_visible()  # the planned ones
    page.wait_for_timeout(1000)  # for the screenshot they have to fade in first
    page.screenshot(path=folder / "servers prefect schedule.png")
    page.goto(f"{url}/runs/flow-run/{flow_run}")
    page.get_by_text("Artifacts", exact=True).click()
    expect(page.get_by_text("mlflow-run", exact=True).first).to_be_visible()
    page.screenshot(path=folder / "servers prefect artifacts.png")


def mlflow(page: Any, url: str, experiment: str, run: str, folder: Path) -> None:
    """See that the model has a champion, and that the run has its artifacts."""
    page.goto(f"{url}/#/models/heart-disease")
    expect(page.get_by_text("champion", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Close", exact=True).click()  # the assistant opens by itself
    page.screenshot(path=folder / "servers mlflow model.png")
    page.goto(f"{url}/#/experiments/{experiment}/runs/{run}/artifacts")
    expect(page.get_by_text("validation", exact=True).first).to_be_visible()
    page.screenshot(path=folder / "servers mlflow artifacts.png")
