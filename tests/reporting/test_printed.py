"""The pages on paper (A4): nothing is cut at the right edge, and pictures share a sheet. Every print leaves its PDF."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.pages.browser import chromium, needs_browser, screenshots
from tests.reporting import test_axe

pytestmark = [pytest.mark.slow, needs_browser]

SIDE = 210 - 2 * 15  # mm between the margins
PIXELS = SIDE / 25.4 * 96
# What reaches beyond the paper, or holds more than it shows.
CUT = """width => [...document.querySelectorAll("body *")].filter(it =>
    it.getBoundingClientRect().right > width + 0.5
    || (getComputedStyle(it).overflowX != "visible" && it.scrollWidth > it.clientWidth)
).map(it => it.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize(("made", "sheets"), [(test_axe.report, 11), (test_axe.comparison, 7)])
def test_on_paper_nothing_is_cut_and_pictures_share_a_sheet(
    made: Callable[[], str], sheets: int, browser: Any, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(made(), encoding="utf-8")
    page = browser.new_page(viewport={"width": int(PIXELS), "height": 1000})
    page.goto(file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")  # a dark screen must not print white on white
    assert page.evaluate(CUT, PIXELS) == []
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    printed = page.pdf(
        path=screenshots(tmp_path) / f"print {made.__name__}.pdf", prefer_css_page_size=True, print_background=True
    )
    page.close()
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[(.*?)\]", printed)}
    assert [tuple(round(points * 25.4 / 72) for points in box[2:]) for box in boxes] == [(210, 297)]
    assert len(re.findall(rb"/Type /Page\b", printed)) <= sheets
