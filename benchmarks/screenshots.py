"""The pictures of the documentation: one training on fresh stores, and four pages in a browser.

    python -m benchmarks.screenshots            # writes docs/images/*.png; needs chromium

MLflow's page of the run, Prefect's page of the flow run, the page that validation writes, and that of `heart serve`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import ViewportSize, expect, sync_playwright

from benchmarks import ROOT
from benchmarks.speed.serving import answers
from heart_disease.processes.loopback import free_port
from tests.harness.waiting import wait_for

IMAGES = ROOT / "docs" / "images"
SIZE = ViewportSize(width=1400, height=800)  # pixels
COLOURS = 64  # enough for flat pages, and keeps a picture well under 150 kB
PATIENCE = 60_000  # milliseconds
DRAWING = 10_000  # milliseconds for Prefect's graph, because its canvas does not say when it is drawn
HEART = (sys.executable, "-m", "heart_disease")


@contextmanager
def pages(folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Run `heart ui` on the stores of `folder`, and yield the addresses of MLflow's page and of Prefect's."""
    ports = free_port(), free_port()
    options = [f"--mlflow-port={ports[0]}", f"--prefect-port={ports[1]}"]
    process = subprocess.Popen([*HEART, "ui", *options], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert "MLflow" in process.stdout.readline()
        yield f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@contextmanager
def served(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run `heart serve` on the stores of `folder`, and yield the address of its page."""
    port = free_port()
    process = subprocess.Popen([*HEART, "serve", f"--port={port}"], cwd=folder, env=environment)
    try:
        wait_for(lambda: answers(port, "/health"))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def flow_run(prefect: str) -> str:
    """The ID of the newest run of the training flow."""
    body = json.dumps({"sort": "START_TIME_DESC", "limit": 1, "flows": {"name": {"any_": ["heart-disease-train"]}}})
    request = urllib.request.Request(
        f"{prefect}/api/flow_runs/filter", body.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)[0]["id"]


def shoot(page: Any, name: str) -> None:
    """Save what the page shows, with plain words instead of the names of this machine and its folder."""
    page.evaluate(
        """names => {
            const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
            for (let node; (node = walk.nextNode()); )
                for (const [name, word] of names)
                    if (node.data.includes(name)) node.data = node.data.replaceAll(name, word)
        }""",
        [[socket.gethostname(), "machine"], [str(ROOT), "/home/you/heart-disease"]],
    )
    page.screenshot(path=IMAGES / f"{name}.png")


def shrink(path: Path) -> None:
    """Reduce a picture to `COLOURS` colours."""
    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB")


def shoot_mlflow(page: Any, mlflow: str) -> None:
    """Open the training's run as a visitor does."""
    page.goto(f"{mlflow}/#/experiments")
    page.get_by_role("button", name="Model training", exact=True).click()
    page.get_by_role("button", name="Close", exact=True).click()  # the assistant, which opens by itself
    page.get_by_role("link", name="heart-disease", exact=True).click()
    page.get_by_role("link", name=re.compile(r"-16-1, \d+ epochs")).first.click()
    expect(page.get_by_role("cell", name="log loss")).to_be_visible()
    shoot(page, "mlflow")


def shoot_prefect(page: Any, prefect: str) -> None:
    """Open the flow run's page: its tasks, in their order."""
    page.goto(f"{prefect}/runs/flow-run/{flow_run(prefect)}")
    expect(page.get_by_text("Promoted", exact=True).first).to_be_visible()
    page.get_by_text("Task Runs", exact=True).click()
    expect(page.get_by_text("register", exact=True).first).to_be_visible()
    page.wait_for_timeout(DRAWING)
    shoot(page, "prefect")


def shoot_patient(page: Any, api: str) -> None:
    """Enter a patient, and change a value."""
    page.goto(api)
    page.get_by_role("button", name="Fill in an example").click()
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#answer")).to_be_visible()
    page.get_by_label("Maximum heart rate achieved").fill("110")
    expect(page.locator("#what-if")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    shoot(page, "page")


def main() -> None:
    """Train, open the pages, and write the pictures."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        sys.exit("chromium is not installed")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "PREFECT_HOME": str(folder / "prefect"),
            "PYTHONPATH": str(ROOT),
        }
        subprocess.run([*HEART, "train"], cwd=folder, env=environment, check=True)
        subprocess.run([*HEART, "check", "--page", "validation.html"], cwd=folder, env=environment, check=True)
        with pages(folder, environment) as (mlflow, prefect), sync_playwright() as started:
            browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport=SIZE)
            page.set_default_timeout(PATIENCE)
            expect.set_options(timeout=PATIENCE)
            page.goto((folder / "validation.html").as_uri())
            shoot(page, "validation")
            shoot_mlflow(page, mlflow)
            shoot_prefect(page, prefect)
            with served(folder, environment) as api:
                shoot_patient(page, api)
            browser.close()
    for name in ("mlflow", "page", "prefect", "validation"):  # the folder has pictures of other programs too
        shrink(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
