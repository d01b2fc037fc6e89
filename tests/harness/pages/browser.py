"""A browser for tests of pages, if this machine has one, and what axe-core says of a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# The first needs little more than half the processor time of the others, because it cannot show a window.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
PATIENCE = 60_000  # ms; long, because the machine may be busy training something else
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# Playwright is imported only when a test uses it, because that would delay each process that collects tests.
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and find_spec("playwright") and find_spec("axe_playwright_python")),
    reason="chromium, playwright or axe-playwright-python is not installed",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """A Chromium without a window, which asks no other machine by itself."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


def expect(found: Any) -> Any:
    """What Playwright can expect of a page or of a part of it; it waits until that is so."""
    from playwright.sync_api import expect as expect_within

    expect_within.set_options(timeout=PATIENCE)
    return expect_within(found)


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
