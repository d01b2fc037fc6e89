"""The page about two runs: one escaped file; its numbers are in test_comparison_numbers.py."""

from __future__ import annotations

import base64
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from heart_disease.evaluation import estimates
from heart_disease.evaluation.estimates import METRICS
from heart_disease.model import schema
from heart_disease.reporting.report import comparison_page, facts
from heart_disease.reporting.report.comparison_page import Duel, Side
from tests.harness.data import patients
from tests.reporting.test_report_page import Outline

FRAME = patients.make(200)
LABELS = schema.label(FRAME).to_numpy()
RNG = np.random.default_rng(1)
FIRST, OTHER = (expit(size * (2 * LABELS - 1) + RNG.standard_normal((3, 200))) for size in (2.0, 0.3))
CURVES = {"loss/train": np.linspace(0.7, 0.3, 6), "loss/test": np.linspace(0.7, 0.4, 6)}
DUEL = Duel(
    Side("version 1", "29-16-1, <b>", FIRST, CURVES), Side("version 2", "29-32-1", OTHER, CURVES), LABELS, FRAME,
    FRAME.index, ["other folds"], 1.14, 0.02, 0, [("recipe", "version 1", "version 2"), ("hidden", "16", "32")],
    {"code": "digest 1234 -> <5678>"},
)  # fmt: skip


@pytest.fixture(scope="module")
def page() -> str:
    return comparison_page.render(DUEL)


def cells(page: str, first: str) -> list[str]:
    """The cells of the table's row that starts with `first`, as text."""
    row = page.split(f'<th scope="row">{first}</th>')[1].split("</tr>")[0]
    return [re.sub("<.*?>", "", cell) for cell in re.findall("<td.*?</td>", row)]


def test_the_page_is_one_well_formed_file_that_loads_nothing(page: str) -> None:
    outline = Outline(page)
    assert not outline.open
    assert len(outline.images) == 5
    assert all(image["alt"] for image in outline.images)
    assert not re.search(r"<script|<link|@import|(?:src|href)=\"(?!data:|#)", page)
    assert all(f'id="{target}"' in page for target in re.findall(r'href="#(\w+)"', page))
    assert len(page.encode()) < 1_000_000


def test_a_landscape_is_shown_if_a_run_has_one(page: str) -> None:
    assert "landscape" not in page
    shown = comparison_page.render(replace(DUEL, other=replace(DUEL.other, landscape=b"\x89PNG")))
    assert not Outline(shown).open
    assert ('href="#landscapes"' in shown, 'id="landscapes"' in shown) == (True, True)
    assert shown.count("data:image/png;base64,iVBORw==") == 1
    assert "<figcaption>version 2. Above: two random directions." in shown


def test_what_comes_from_outside_is_escaped(page: str) -> None:
    assert "29-16-1, &lt;b&gt;" in page
    assert "&lt;5678&gt;" in page


def test_two_models_are_judged_by_their_own_answers() -> None:
    careful = replace(DUEL, first=replace(DUEL.first, threshold=0.2), widening=1.0)
    page = comparison_page.render(careful)
    gaps = estimates.differences(LABELS, OTHER, FIRST, estimates.resamples(200, 0), 1.0, (0.5, 0.2))
    found = estimates.measure(LABELS, FIRST, estimates.resamples(200, 0), 0.2)["specificity"]
    assert cells(page, "specificity")[::2] == [str(found), gaps["specificity"].signed]
    assert "at a probability of 0.2 for version 1, and 0.5 for version 2." in page


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ((None, None), "finds 90 % of the patients with disease.</p>"),
        ((0.8, 0.8), "finds 80 % of the patients with disease.</p>"),
        ((0.8, None), "finds 80 % of the patients with disease. This is the target of version 1; version 2 was made"),
        ((None, 0.8), "finds 80 % of the patients with disease. This is the target of version 2; version 1 was made"),
        ((0.8, 0.955), "version 1 was made to find 80 % of the patients with disease, and version 2 95.5 %."),
    ],
)
def test_each_threshold_finds_what_the_recipe_asked_for(targets: tuple[float | None, ...], words: str) -> None:
    first, other = (replace(side, target=share) for side, share in zip(DUEL.sides, targets, strict=True))
    assert words in comparison_page.render(replace(DUEL, first=first, other=other))


def test_if_one_has_no_calibration_the_page_says_so() -> None:
    text = comparison_page.render(replace(DUEL, other=replace(DUEL.other, probabilities=np.full((1, 200), 0.4))))
    assert "Slope and intercept cannot be estimated for both." in text


def test_the_loss_on_test_rows_has_a_band_if_the_run_recorded_one(page: str) -> None:
    def bands(text: str) -> int:
        picture = next(image for image in Outline(text).images if image["alt"] == "Loss against epochs.")
        return base64.b64decode(str(picture["src"]).partition(",")[2]).count(b'id="FillBetween')

    spread = replace(DUEL.other, curves=CURVES | {"loss_std/test": np.full(6, 0.05)})
    assert (bands(page), bands(comparison_page.render(replace(DUEL, other=spread)))) == (0, 1)


def test_the_verdict_is_that_of_a_training(page: str) -> None:
    gap = estimates.difference(LABELS, OTHER, FIRST, estimates.resamples(200, 0), 1.14)
    assert f"worse than version 1: difference in log loss {gap.signed}" in page


def test_without_their_columns_patients_are_named_by_digest_and_groups_are_left_out() -> None:
    digests = [f"{k:016x}" for k in range(200)]
    text = comparison_page.render(replace(DUEL, frame=None, names=digests))
    assert "groups cannot be told apart" in text
    assert re.search(r'<th scope="row">[0-9a-f]{16}</th>', text)


def test_equal_runs_are_not_shown_to_differ_in_anything() -> None:
    text = comparison_page.render(replace(DUEL, other=replace(DUEL.first, name="version 2"), recipes=[], changed={}))
    assert text.count("not shown to differ") == len(METRICS) + 2  # and once more what they answer at their thresholds
    assert "Recipe, evaluation and data are equal." in text


def test_very_many_patients_are_sampled_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "MOST_ROWS", 100)
    assert "random sample of 100 of them" in comparison_page.render(DUEL)
