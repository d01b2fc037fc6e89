"""A browser for tests of pages, if this machine has one, and what axe-core says of a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium() -> Iterator[Any]:
    """A Chromium without a window, which asks no other machine by itself."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong for people who cannot see, hear or use a mouse."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": LEVELS}).response["violations"]
    return [f"{one['id']}: {one['help']}: {node['html']}" for one in found for node in one["nodes"]]


def screenshots(otherwise: Path) -> Path:
    """The folder for screenshots: HEART_SCREENSHOTS if that is set."""
    folder = Path(os.environ.get("HEART_SCREENSHOTS") or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
