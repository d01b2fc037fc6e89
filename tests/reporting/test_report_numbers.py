"""Every number on the report page, computed in another way than the page does; and that there is no further one.

The ends of the intervals in the table of results, and the difference in the verdict, are those that
evaluation/test_estimates.py compares with a plain loop over the same resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, true_negative_rate, true_positive_rate
from scipy.special import expit
from sklearn.metrics import log_loss

from heart_disease.evaluation import estimates, groups
from heart_disease.evaluation.contest import CHAMPION, LOGISTIC, NETWORK, PREVALENCE
from heart_disease.evaluation.estimates import METRICS
from heart_disease.model import schema
from heart_disease.reporting.report import tripod
from tests.harness.data import patients
from tests.harness.models import models
from tests.harness.models.metrics import plainly
from tests.harness.pages import numbers
from tests.reporting.test_report import make
from tests.reporting.test_report_page import INFLUENCES, page

N = 180
FRAME = patients.make(N, seed=1)
MADE = make(n=N)
LABELS, P = MADE.labels, MADE.probabilities[NETWORK]
MASKS = groups.members(FRAME)
WIDENING = 1.14
THEIRS = expit(2 * LABELS - 1.5 + 1.5 * np.random.default_rng(7).standard_normal(P.shape))  # the champion's
REPORT = replace(
    MADE,
    influences=INFLUENCES,
    probabilities={NETWORK: P, CHAMPION: THEIRS, **MADE.probabilities},
    metrics={
        NETWORK: MADE.metrics[NETWORK],
        CHAMPION: estimates.measure(LABELS, THEIRS, numbers.drawn(N)),
        **MADE.metrics,
    },
    differences=MADE.differences | {CHAMPION: estimates.difference(LABELS, P, THEIRS, numbers.drawn(N), WIDENING)},
    groups=groups.differences(MASKS, LABELS, P, THEIRS, WIDENING),
)
THRESHOLD = numbers.threshold(LABELS, P)
FOLDS = 15  # as many as the description says: 5 in 3 repeats
MODEL = models.make(FRAME, folds=FOLDS)


def results() -> Iterator[str]:
    models = NETWORK, CHAMPION, LOGISTIC, PREVALENCE
    values = {model: plainly(LABELS, REPORT.probabilities[model]) for model in models}
    for metric, title in METRICS.items():
        ends = {model: REPORT.metrics[model][metric] for model in values}
        figures = [f"{values[m][metric]:.3f} [{one.low:.3f}, {one.high:.3f}]" for m, one in ends.items()]
        yield " ".join([title, *figures])
        if metric == "roc_auc":
            yield f"Area of the network: {figures[0]}."


def verdict() -> str:
    """The difference from the champion."""
    loss, theirs = (plainly(LABELS, p)["log_loss"] for p in (P, THEIRS))
    gap = REPORT.differences[CHAMPION]
    return f"champion version 6: difference in log loss {loss - theirs:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"


def patients_and_folds() -> Iterator[str]:
    yield f"{N} patients from patients.csv. 5-fold cross-validation, 3 repeats, {N} patients."


def calibrations() -> Iterator[str]:
    slope, intercept = numbers.calibration(LABELS, P)
    yield f"Slope {slope};"
    yield f"Intercept {intercept};"


def thresholds() -> Iterator[str]:
    sensitivity, specificity = numbers.answered(LABELS, P, THRESHOLD)
    yield f"To find 90 % of the patients with disease, say yes from a probability of {THRESHOLD:.2f} on."
    yield numbers.people(LABELS, P, THRESHOLD)
    yield f"Sensitivity {sensitivity}, specificity {specificity}."
    yield "heart train --sensitivity 0.9 --promote-if"
    yield "at least 20 patients with and 20 without disease"


def group_rows() -> Iterator[str]:
    figures = {
        "loss": lambda y, p: log_loss(y, p, labels=[0, 1]),
        "found": lambda y, p: true_positive_rate(y, p >= THRESHOLD),
        "spared": lambda y, p: true_negative_rate(y, p >= THRESHOLD),
    }
    large = [name for name, mask in MASKS.items() if min(LABELS[mask].sum(), (1 - LABELS[mask]).sum()) >= 20]
    for name, mask in MASKS.items():
        y, p = LABELS[mask], P[:, mask]
        start = f"{name} {len(y)} {y.sum():.0f} ({100 * y.mean():.0f} %) {100 * p.mean():.0f} %"
        if name not in large:
            yield f"{start} too few to judge"
            continue
        gap = numbers.group_gaps(y, p, THEIRS[:, mask], (0.5, 0.5), WIDENING, len(large))["log_loss"]
        worse = " worse" if gap.low > 0 else ""
        found = [numbers.loss(y, p), *numbers.answered(y, p, THRESHOLD)]
        each = [MetricFrame(metrics=figures, y_true=LABELS, y_pred=q, sensitive_features=mask).by_group for q in P]
        for one, theirs in zip(found, sum(each).loc[True] / len(P), strict=True):
            assert one.startswith(f"{theirs:.3f} ")
        yield " ".join([start, *found, gap.signed]) + worse


def columns() -> Iterator[str]:
    for one in INFLUENCES:
        ends = sorted(zip(one.mean.tolist(), one.grid.tolist(), strict=True))
        said = [f"{p:.2f} at {schema.BY_NAME[one.column].in_words(value)}" for p, value in (ends[0], ends[-1])]
        for _ in range(2 if one in INFLUENCES[:6] else 1):  # the words for the picture, and those below it
            yield f"{schema.BY_NAME[one.column].meaning}: on average from {said[0]} to {said[1]}"


def stabilities() -> Iterator[str]:
    x = MODEL.encoder.transform(FRAME)
    hidden, last = MODEL.folds
    answers = []
    for k in range(FOLDS):
        h = np.tanh(x @ hidden.kernel[k, 0] + hidden.bias[k, 0])
        answers.append(expit(h @ last.kernel[k, 0] + last.bias[k, 0])[:, 0])
    own, table = MODEL.predict(FRAME)["probability"], pd.DataFrame(answers, columns=FRAME.index)
    moved, flips = (table - own).abs().mean(), ((table >= THRESHOLD) != (own >= THRESHOLD)).mean()
    yield f"The {FOLDS} networks of the cross-validation"
    yield f"on average {numbers.interval(moved.to_numpy(), numbers.drawn(N))} away from that of this version"
    yield f"a share of {numbers.interval(flips.to_numpy(), numbers.drawn(N))} of their answers"
    sick = pd.Series(np.where(LABELS > 0.5, "yes", "no"), FRAME.index)
    out_of_fold = pd.DataFrame(P, columns=FRAME.index).mean()
    wrong = (out_of_fold - LABELS).abs()
    for row in moved.nlargest(5).index:
        yield f"{row} {sick[row]} {own[row]:.2f} {table[row].min():.2f} to {table[row].max():.2f}"
    for row in wrong.nlargest(5).index:
        yield f"{row} {sick[row]} {out_of_fold[row]:.2f} {wrong[row]:.2f}"


def described() -> Iterator[str]:
    sick = FRAME["num"].gt(0).map({False: "healthy", True: "sick"})
    for column in schema.COLUMNS:
        cells = FRAME[column.name].groupby(sick)
        blank = FRAME[column.name].isna().sum()
        if column.codes:
            yield f"{column.meaning} {blank}"
            for code, meaning in column.codes.items():
                n = cells.apply(lambda held, code=code: (held == code).sum())
                if n.any():
                    shares = 100 * n / sick.value_counts()
                    yield f"— {meaning} " + " ".join(f"{n[c]} ({shares[c]:.0f} %)" for c in ("healthy", "sick"))
        else:
            spread = cells.describe().round(1)
            found = [f"{spread.loc[c, '50%']:g} ({spread.loc[c, '25%']:g} to {spread.loc[c, '75%']:g})"
                     for c in ("healthy", "sick")]  # fmt: skip
            yield f"{column.meaning}, {column.unit} {' '.join(found)} {blank}"


def test_every_number_on_the_page_is_computed_here_in_another_way_or_stands_in_its_template() -> None:
    parts = (results, patients_and_folds, calibrations, thresholds, group_rows, columns, stabilities, described)
    items = " ".join(f"{item.number} {item.section} {item.topic} {item.where}" for item in tripod.ITEMS)
    expected = [verdict(), *(words for part in parts for words in part())]
    assert any("too few to judge" in words for words in expected)
    given = f"{numbers.fixed('report_page.html')} {items} heart-disease version 7 heart-disease version 7: report"
    assert not numbers.unexplained(page(REPORT, FRAME, model=MODEL), expected, given)
