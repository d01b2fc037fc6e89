"""The report page: one file, escaped, with every section, for cross-validation, one split, and very many patients."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from heart_disease.evaluation.clinical import Threshold
from heart_disease.evaluation.contest import CHAMPION, LOGISTIC, Report
from heart_disease.evaluation.estimates import Estimate
from heart_disease.evaluation.groups import GroupDifference
from heart_disease.evaluation.influence import Influence
from heart_disease.evaluation.settings import Promotion
from heart_disease.evaluation.verdict import Decision, decide
from heart_disease.model.patient_model import PatientModel
from heart_disease.reporting.report import facts, report_page, tripod
from tests.harness.data import patients
from tests.harness.models import models
from tests.reporting.test_report import make

MADE = {"recipe": "the <usual>", "validation": "passed"}


def page(report: Report, frame: pd.DataFrame, source: str = "patients.csv", model: PatientModel | None = None) -> str:
    found = facts.collect(frame, source, report, "heart-disease version 7", model or models.make(frame))
    return report_page.render(found, decided(report), MADE, {"data": "<new>"})


def decided(report: Report) -> Decision:
    """The verdict with a wide margin; the champion is version 6 if there is one."""
    champion = "champion version 6" if CHAMPION in report.metrics else None
    return decide(report, Promotion(margin=0.5), champion=champion)


def influence(column: str, value: float, grid: list[float], mean: list[float]) -> Influence:
    lines = np.array(mean)[:, None] + np.linspace(-0.1, 0.1, 4)
    return Influence(column, Estimate(value, value - 0.01, value + 0.01), np.array(grid), np.array(mean), lines)


INFLUENCES = (
    influence("thal", 0.08, [3, 6, 7, np.nan], [0.31, 0.42, 0.61, 0.5]),
    influence("oldpeak", 0.05, [0, 1, 2.5], [0.4, 0.45, 0.7]),
    *(influence(name, 0.01, [0, 1], [0.45, 0.44]) for name in ("sex", "fbs", "exang", "restecg")),
    influence("slope", -0.01, [1, 3], [0.44, 0.45]),
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


def test_it_says_what_the_version_was_made_from(found: str) -> None:
    assert "<li><strong>recipe</strong>: the &lt;usual&gt;</li><li><strong>validation</strong>: passed</li>" in found


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
    frame = patients.make(61)
    text = page(make(n=61, repeats=1, folds=1), frame, model=models.make(frame, folds=0))
    assert len(Outline(text).images) == 5
    assert "No networks of a cross-validation were trained" in text


def test_groups_that_were_compared_with_the_champion_say_where_it_is_worse() -> None:
    one, other = (
        GroupDifference(name, 40, Estimate(0.05, low, 0.09)) for name, low in (("male", 0.01), ("female", -0.01))
    )
    text = page(replace(make(), groups=(one, other)), patients.make(90))
    assert "log loss minus champion</th>" in text
    assert "+0.050 [+0.010, +0.090] <strong>worse</strong>" in text
    assert "+0.050 [-0.010, +0.090]</td>" in text
    assert "minus champion" not in page(make(), patients.make(90))


def test_the_page_says_from_where_on_the_model_answers_yes() -> None:
    asked = replace(make(), sensitivity=0.8, threshold=0.4321)
    assert facts.collect(patients.make(90), "", asked, "").threshold.value == 0.4321
    text = page(asked, patients.make(90))
    assert "To find 80 % of the patients with disease, say yes from a probability of <strong>0.43</strong> on" in text
    assert "From here on, the registered model answers yes." in text
    assert "heart train --sensitivity 0.9" in page(make(), patients.make(90))


def test_a_page_has_the_loss_landscape_if_it_was_asked_for() -> None:
    asked, usual = (page(replace(make(), landscape=png), patients.make(90)) for png in (b"\x89PNG", b""))
    held = base64.b64encode(b"\x89PNG").decode()
    assert f'src="data:image/png;base64,{held}"' in asked
    assert "two random directions" in asked
    assert ('href="#landscape"' in asked, 'id="landscape"' in asked) == (True, True)
    assert "image/png" not in usual
    assert "landscape" not in usual


def test_the_contents_lead_to_every_section(found: str) -> None:
    leading = re.findall(r'<a href="#(\w+)"', found.split("<nav")[1].split("</nav>")[0])
    assert leading == re.findall(r'<h2 id="(\w+)"', found)
    assert found.count("<h2") == len(leading)
    assert (leading[0], leading[-1]) == ("changed", "tripod")


def test_without_a_champion_nothing_is_said_to_have_changed() -> None:
    found = facts.collect(patients.make(90), "", make(), "")
    text = report_page.render(found, decided(make()), MADE, None)
    assert 'href="#changed"' not in text
    assert "What changed against the champion</h2>" not in text


def test_all_27_items_of_tripod_ai_are_listed_and_lead_to_headings(found: str) -> None:
    headings = " ".join(Outline(found).headings)
    assert [item.number for item in tripod.ITEMS] == list(range(1, 28))
    for item in tripod.ITEMS:
        assert f'<th scope="row">{item.topic}</th>' in found
    for section in ("Results", "Groups of patients", "Which columns matter", "Use and limits", "Patients", "Stability"):
        assert section in headings


def test_very_many_patients_are_sampled_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "MOST_ROWS", 60)
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
    found = replace(facts.collect(patients.make(90), "", make(), ""), threshold=one)
    assert found.people == (
        "It finds 92 of 100 patients with disease and misses 8. It alarms 21 of 100 without disease needlessly."
    )


def test_the_columns_that_matter_most_are_drawn_and_the_others_told() -> None:
    text = page(replace(make(), influences=INFLUENCES), patients.make(90))
    names = [str(image["alt"]) for image in Outline(text).images]
    assert "The most important columns: thallium scan, ST depression by exercise, relative to rest, sex." in names
    assert "Probability against thallium scan: on average from 0.31 at normal to 0.61 at reversible defect." in names
    assert sum(name.startswith("Probability against ") for name in names) == report_page.DRAWN
    assert "<li>slope of the peak exercise ST segment: on average from 0.44 at up to 0.45 at down</li>" in text


def test_the_page_shows_the_name_of_the_file_and_not_its_folders() -> None:
    text = page(make(), patients.make(90), "/home/somebody/patients.csv")
    assert "90 patients from patients.csv." in text
    assert "somebody" not in text


def test_patients_are_described_by_disease() -> None:
    frame = patients.make(40, age=[50.0] * 20 + [60.0] * 20, num=[0.0] * 20 + [2.0] * 20, sex=1.0)
    rows = {row[0]: row[1:] for row in report_page.described(frame)}
    assert rows["age, years"] == ("50 (50 to 50)", "60 (60 to 60)", "0")
    assert rows["— male"] == ("20 (100\u00a0%)", "20 (100\u00a0%)", "")
    assert "— female" not in rows


def test_a_promoted_version_and_a_refused_one_say_so() -> None:
    report, frame = make(), patients.make(90)
    assert "Becomes champion:" in page(report, frame)
    worse = replace(report, differences=report.differences | {LOGISTIC: Estimate(0.2, 0.1, 0.3)})
    assert "Does not become champion:" in page(worse, frame)
