"""The pages that are written to files, in a real browser: by axe, in light and dark, on a wide screen and on a phone.

Made of facts that are made up, so nothing is trained. The page of `heart serve` has its own tests. Every look leaves a
screenshot, in the folder HEART_SCREENSHOTS if that is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expectations.gate import validate
from heart_disease.data import sources
from heart_disease.evaluation.estimates import Estimate
from heart_disease.evaluation.groups import GroupDifference
from heart_disease.evaluation.other_patients import drift
from heart_disease.evaluation.other_patients.drift import Scored
from heart_disease.evaluation.settings import Promotion
from heart_disease.evaluation.verdict import decide
from heart_disease.lessons import formulas, lesson
from heart_disease.model import schema
from heart_disease.reporting import drift_page, validation_page
from heart_disease.reporting.report import comparison_page, facts, report_page
from tests.harness.data import patients
from tests.harness.data.judging import judge, put
from tests.harness.models import models
from tests.harness.pages.browser import chromium, needs_browser, screenshots, violations
from tests.lessons.test_learn import make_lesson
from tests.reporting.test_comparison_page import DUEL
from tests.reporting.test_report import make
from tests.reporting.test_report_page import INFLUENCES, MADE

pytestmark = [pytest.mark.slow, needs_browser]

WIDTHS = (1280, 390)


def report() -> str:
    """A report with every section: influences, groups against the champion, the landscape."""
    against = tuple(
        GroupDifference(name, 40, Estimate(0.05, low, 0.09)) for name, low in (("male", 0.01), ("female", -0.01))
    )
    asked = replace(make(), influences=INFLUENCES, groups=against, landscape=make_lesson().png)
    frame = patients.make(90)
    found = facts.collect(frame, "patients.csv", asked, "heart-disease version 7", models.make(frame))
    return report_page.render(found, decide(asked, Promotion(margin=0.5)), MADE, {"data": "another file"})


def comparison() -> str:
    return comparison_page.render(replace(DUEL, other=replace(DUEL.other, landscape=make_lesson().png)))


def shifted() -> str:
    """Patients who differ, who break a rule, and whom the model was judged on."""
    before, now = patients.make(200), patients.make(200, seed=1, chol=500)
    known, scored = (Scored(np.linspace(0.1, 0.9, 200), schema.label(frame).to_numpy()) for frame in (before, now))
    broken = judge(put("chol", (3, "high"))(now)).errors
    return drift_page.render("march.csv", "version 7", 3, broken, drift.compare(before, now, known, scored))


def alike() -> str:
    """Patients without labels in whom no difference was found."""
    frame = patients.make(200)
    found = drift.compare(frame, frame, None, Scored(np.empty(0), None))
    return drift_page.render("march.csv", "version 7", 0, [], found)


def passed() -> str:
    return validation_page.render(validate(sources.load()))


def refused() -> str:
    frame = put("age", (3, 150.0), (4, 151.0))(put("chol", (3, "high"))(patients.make())).drop(columns="thal")
    return validation_page.render(judge(frame))


def lessons() -> str:
    """Two lessons with all that a lesson's text may hold."""
    wide = lesson.table(["value", *(f"column {k}" for k in range(9))], [["1.0000"] * 10] * 3)
    math = ", ".join(f"`{formula}`" for formula in formulas.FORMULAS)
    text = f"Some **words**, `heart train`, and {math}.\n\n{wide}\n\n- one\n- two\n"
    return lesson.page({name: replace(make_lesson(text), title=f"About {name}") for name in ("descent", "loss")})


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize("made", [report, comparison, shifted, alike, passed, refused, lessons])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    made: Callable[[], str], browser: Any, tmp_path: Path
) -> None:
    file = tmp_path / f"{made.__name__}.html"
    file.write_text(made(), encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            page.screenshot(path=screenshots(tmp_path) / f"file {made.__name__} {scheme} {width}.png", full_page=True)
            found += [f"{scheme}, {width} px: {one}" for one in violations(page)]
            if (needed := page.evaluate("document.documentElement.scrollWidth")) > width:
                found.append(f"{scheme}, {width} px: the page needs {needed} px")
    page.close()
    assert not found, "\n".join(found)
