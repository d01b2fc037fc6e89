"""The report page: one file, escaped, with every section, for cross-validation, one split, and very many patients."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from heart_disease.evaluation.clinical import Threshold
from heart_disease.evaluation.contest import LOGISTIC, Report
from heart_disease.evaluation.estimates import Estimate
from heart_disease.evaluation.settings import Promotion
from heart_disease.evaluation.verdict import decide
from heart_disease.reporting import report_page
from tests.harness import patients
from tests.reporting.test_report import make


def page(report: Report, frame: pd.DataFrame, source: str = "patients.csv") -> str:
    return report_page.render(
        frame, source, report, decide(report, Promotion(margin=0.5)), "heart-disease version 7", {"data": "<new>"}
    )


@pytest.fixture(scope="module")
def found() -> str:
    return page(make(), patients.make(90), "<b>.csv")


class Outline(HTMLParser):
    """The headings and pictures of a page; a tag that is not closed in order fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)
        if tag in ("h1", "h2"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings[-1] += data


def test_the_page_is_one_file_without_scripts_and_loads_nothing(found: str) -> None:
    assert not re.search(r"<script|<link|@import|(?:src|href)=\"(?!data:|#)", found)
    assert len(found.encode()) < 1_000_000


def test_it_is_well_formed_and_every_picture_has_words(found: str) -> None:
    outline = Outline(found)
    assert not outline.open
    assert len(outline.images) == 6
    assert all(image["alt"] and str(image["src"]).startswith("data:image/svg+xml;base64,") for image in outline.images)
    assert outline.headings[0] == "heart-disease version 7"
    assert all(f'id="{target}"' in found for target in re.findall(r'href="#(\w+)"', found))


def test_what_comes_from_outside_is_escaped(found: str) -> None:
    assert "<b>" not in found
    assert "<new>" not in found
    assert "&lt;b&gt;.csv" in found


def test_the_same_report_gives_the_same_page(found: str) -> None:
    assert page(make(), patients.make(90), "<b>.csv") == found


def test_one_split_has_a_page_without_stability() -> None:
    text = page(make(n=61, repeats=1, folds=1), patients.make(61))
    assert len(Outline(text).images) == 5
    assert "Each patient was tested once" in text


def test_very_many_patients_are_sampled_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "MOST_ROWS", 60)
    text = page(make(), patients.make(90))
    assert "random sample of 60 of them" in text
    rows = {int(row) for row in re.findall(r'<th scope="row">(\d+)</th>', text)}
    assert rows <= set(range(1, 91))


def test_the_most_wrong_patients_are_named_by_their_row_in_the_file() -> None:
    report = make()
    wrong = int(np.flatnonzero(report.labels == 0)[3])
    p = {model: values.copy() for model, values in report.probabilities.items()}
    p["network"][:, wrong] = 0.999
    frame = patients.make(90)
    frame.index = frame.index + 1000
    text = page(replace(report, probabilities=p), frame)
    listed = text.split("The patients about whom it is most wrong</caption>")[1]
    assert re.findall(r'<th scope="row">(\d+)</th>', listed)[0] == str(1001 + wrong)


def test_whole_patients_are_rounded_from_the_thresholds_figures() -> None:
    one = Threshold(0.9, 0.3, Estimate(0.916, 0.9, 1.0), Estimate(0.794, 0.7, 0.9))
    assert report_page.people(one) == (
        "Of 100 patients with disease, it finds 92 and misses 8. Of 100 without, 21 are alarmed needlessly."
    )


def test_patients_are_described_by_disease() -> None:
    frame = patients.make(40, age=[50.0] * 20 + [60.0] * 20, num=[0.0] * 20 + [2.0] * 20, sex=1.0)
    rows = {row[0]: row[1:] for row in report_page.described(frame)}
    assert rows["age, years"] == ("50 (50 to 50)", "60 (60 to 60)", "0")
    assert rows["— male"] == ("20 (100%)", "20 (100%)", "")
    assert "— female" not in rows


def test_a_promoted_version_and_a_refused_one_say_so() -> None:
    report, frame = make(), patients.make(90)
    assert "Becomes champion:" in page(report, frame)
    worse = replace(report, differences=report.differences | {LOGISTIC: Estimate(0.2, 0.1, 0.3)})
    assert "Does not become champion:" in page(worse, frame)
