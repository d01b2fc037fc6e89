"""Every number on the model card, computed in another way than the card does; and that there is no further one.

It is about the report of test_report_numbers.py, which says where the ends of the intervals of metrics come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from markdown_it import MarkdownIt
from scipy.spatial.distance import mahalanobis

from heart_disease.model import support
from heart_disease.model.encoding import Encoder
from heart_disease.model.support import Support
from heart_disease.reporting.report import facts, model_card
from tests.harness.models import models
from tests.harness.pages import numbers
from tests.reporting.test_report_numbers import FRAME, LABELS, MASKS, REPORT, THRESHOLD, N, P, results, verdict
from tests.reporting.test_report_page import decided

HALVES = np.arange(N) < N // 2, np.arange(N) >= N // 2  # large enough that no code is rare in one


def table() -> Iterator[str]:
    yield from (words for words in results() if not words.startswith("Area"))


def lines() -> Iterator[str]:
    sick = (FRAME["num"] > 0).sum()
    yield f"{N} patients of patients.csv, {sick} of them with disease."
    yield f"by 5-fold cross-validation, 3 repeats, {N} patients."
    yield f"to find 90 % of the patients with disease, say yes from {THRESHOLD:.2f} on."
    yield numbers.people(LABELS, P, THRESHOLD)
    yield "The model itself answers yes from 0.50 on."
    slope, intercept = numbers.calibration(LABELS, P)
    yield f"slope {slope} (1 is right), intercept {intercept} (0 is right)"
    large = {name: min(LABELS[mask].sum(), (1 - LABELS[mask]).sum()) >= 20 for name, mask in MASKS.items()}
    each = [f"{name} {numbers.loss(LABELS[MASKS[name]], P[:, MASKS[name]])}" for name in large if large[name]]
    yield f", log loss: {', '.join(each)}."
    yield f"Too few to judge: {', '.join(name for name in large if not large[name])}."


def unlike() -> str:
    """The patients who are flagged: each by the distance of Mahalanobis from the half that does not have them."""
    inputs = Encoder.fit(FRAME).transform(FRAME).astype("float64")
    distances = []
    for train, test in (HALVES, HALVES[::-1]):
        known = inputs[train]
        precision = np.linalg.inv(np.cov(known.T, bias=True) + support.RIDGE * np.eye(known.shape[1]))
        distances += [mahalanobis(row, known.mean(axis=0), precision) ** 2 for row in inputs[test]]
    far = pd.Series(distances)
    tenth = far.index % 10
    flagged = sum((far[tenth == k] > far[tenth != k].quantile(0.99)).sum() for k in range(10))
    return f"than 99 % of them is flagged; {100 * flagged / N:.1f} % of {N} patients who were left out were."


def usual() -> Support:
    one, other = (np.flatnonzero(half) for half in HALVES)
    return support.fit(Encoder.fit(FRAME), FRAME, np.arange(N), [(one, other), (other, one)])


def test_every_number_on_the_card_is_computed_here_in_another_way() -> None:
    model = replace(models.make(FRAME), support=usual())
    found = facts.collect(FRAME, "patients.csv", REPORT, "heart-disease version 7", model)
    card = MarkdownIt().enable("table").render(model_card.render(found, decided(REPORT), "#report"))
    said = "version 7 over 50 % narrowing from 13 columns; brackets hold 95 % intervals"
    assert not numbers.unexplained(card, [*table(), verdict(), *lines(), unlike()], said)
