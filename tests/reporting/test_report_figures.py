"""What the figures of the report page show: every line and point, computed in another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dcurves
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import recall_score
from statsmodels.nonparametric.kernel_regression import KernelReg

from heart_disease.evaluation import clinical
from heart_disease.evaluation.contest import LOGISTIC, NETWORK
from heart_disease.evaluation.estimates import Numbers
from heart_disease.reporting.report import report_figures
from tests.reporting.test_report import make
from tests.reporting.test_report_page import INFLUENCES

REPORT = make()
LABELS, LINES = REPORT.labels, report_figures.lines(REPORT)
THRESHOLD = clinical.threshold_for(0.9, LABELS, REPORT.probabilities[NETWORK], 0)
MODELS = {"network": NETWORK, "logistic regression": LOGISTIC}


def drawn(draw: Callable[..., None], *what: Any) -> Axes:
    axes = Figure().add_subplot()
    draw(axes, *what)
    return axes


def named(axes: Axes) -> dict[str, Numbers]:
    """The points (k, 2) of each line of the legend, by its words without what follows a colon."""
    return {str(line.get_label()).partition(":")[0]: np.asarray(line.get_xydata()) for line in axes.get_lines()}


def pooled(model: str) -> tuple[Numbers, Numbers]:
    """Labels and probabilities of all repeats."""
    p = REPORT.probabilities[model]
    return np.concatenate([LABELS] * len(p)), np.concatenate(list(p))


def counted(model: str) -> list[tuple[float, float, float]]:
    """From each probability on: the shares of the healthy and of the sick who are alarmed, and the precision."""
    y, p = pooled(model)
    found = []
    for t in np.unique(p):
        hits, alarms = int(y[p >= t].sum()), int((1 - y[p >= t]).sum())
        found.append((alarms / (1 - y).sum(), hits / y.sum(), hits / (hits + alarms)))
    return found


def points(line: Numbers) -> set[tuple[float, float]]:
    """The points (k, 2) of a line, rounded."""
    return {(round(x, 9), round(y, 9)) for x, y in line.tolist()}


def test_the_decision_curves_are_those_of_dcurves() -> None:
    lines = named(drawn(report_figures._decision, LABELS, LINES, THRESHOLD))
    for name, model in MODELS.items():
        p = REPORT.probabilities[model]
        names = [f"repeat {k}" for k in range(len(p))]
        table = pd.DataFrame({"sick": LABELS, **dict(zip(names, p, strict=True))})
        thresholds = lines[name][:, 0]
        found = dcurves.dca(table, "sick", names, thresholds).pivot_table("net_benefit", "model", "threshold")
        np.testing.assert_allclose(lines[name][:, 1], found.loc[names].mean(), atol=1e-12)
        np.testing.assert_allclose(lines["treat everybody"][:, 1], found.loc["all"], atol=1e-12)
        assert set(lines["treat nobody"][:, 1]) == set(found.loc["none"]) == {0}
    assert thresholds[[0, -1]].tolist() == [0.01, 0.99]
    assert set(lines[f"threshold {THRESHOLD.value:.2f}"][:, 0]) == {THRESHOLD.value}


def test_the_calibration_curves_are_local_linear_regressions_and_the_network_has_a_band() -> None:
    axes = drawn(report_figures._calibration, LABELS, LINES, 1)
    lines = named(axes)
    for name, model in MODELS.items():
        y, p = pooled(model)
        width = 1.06 * p.std() * len(LABELS) ** -0.2
        theirs = KernelReg(y, p, "c", reg_type="ll", bw=[width]).fit(lines[name][:, 0])[0]
        np.testing.assert_allclose(lines[name][:, 1], np.clip(theirs, 0, 1), atol=1e-6)
    np.testing.assert_array_equal(lines["right"], [[0, 0], [1, 1]])
    [band] = axes.collections
    [path] = band.get_paths()
    found = clinical.smooth(LABELS, REPORT.probabilities[NETWORK])
    assert found
    for side in (found.low, found.high):
        assert points(np.column_stack([found.grid, side])) <= points(np.asarray(path.vertices))


def test_each_point_of_the_roc_is_that_of_a_threshold_and_the_marked_one_that_of_the_page() -> None:
    axes = drawn(report_figures._roc, LABELS, LINES, THRESHOLD)
    lines = named(axes)
    for name, model in MODELS.items():
        assert points(lines[name]) <= points(np.array([(0, 0), *(one[:2] for one in counted(model))]))
        np.testing.assert_array_equal(lines[name][[0, -1]], [[0, 0], [1, 1]])
    p = REPORT.probabilities[NETWORK]
    sensitivity, specificity = (
        np.mean([recall_score(LABELS, one >= THRESHOLD.value, pos_label=label) for one in p]) for label in (1, 0)
    )
    np.testing.assert_allclose(lines[f"threshold {THRESHOLD.value:.2f}"], [[1 - specificity, sensitivity]])


def test_each_point_of_the_precision_curve_is_that_of_a_threshold() -> None:
    lines = named(drawn(report_figures._precision_recall, LABELS, LINES))
    for name, model in MODELS.items():
        assert points(lines[name]) <= points(np.array([(0, 1), *(one[1:] for one in counted(model))]))
        assert len(lines[name]) > 50
    assert set(lines["everybody alarmed"][:, 1]) == {LABELS.sum() / len(LABELS)}


def test_every_patient_is_a_line_from_the_lowest_to_the_highest_probability() -> None:
    others = REPORT.probabilities[NETWORK]
    own = others[0]
    found = clinical.stability(own, others, 0.5, seed=0)
    assert found
    *_, line = drawn(report_figures._stability, found).get_lines()
    parts = np.asarray(line.get_xydata()).reshape(-1, 3, 2)  # two ends and a gap
    assert np.isnan(parts[:, 2]).any(axis=1).all()
    expected = [[(own[k], min(others[:, k])), (own[k], max(others[:, k]))] for k in range(len(LABELS))]
    np.testing.assert_array_equal(parts[:, :2], expected)


def test_importances_are_points_with_their_intervals() -> None:
    axes = drawn(report_figures._importance, INFLUENCES)
    dots, zero = axes.get_lines()
    np.testing.assert_array_equal(dots.get_xdata(), [one.importance.value for one in INFLUENCES])
    assert set(zero.get_xdata()) == {0}
    [bars] = axes.collections
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]  # type: ignore[attr-defined]
    assert ends == [[one.importance.low, one.importance.high] for one in INFLUENCES]
    assert axes.get_yticklabels()[0].get_text() == "thallium scan"
    assert axes.yaxis_inverted()


@pytest.mark.parametrize("one", INFLUENCES[:2], ids=lambda one: one.column)
def test_a_columns_lines_are_those_of_some_patients_and_the_mean(one: Any) -> None:
    axes = drawn(report_figures._dependence, one)
    [mean] = axes.get_lines()
    np.testing.assert_array_equal(mean.get_ydata(), one.mean)
    [thin] = axes.collections
    heights = [segment[:, 1].tolist() for segment in thin.get_segments()]  # type: ignore[attr-defined]
    assert heights == one.lines.T.tolist()
    if one.column == "thal":
        names = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
        assert names == ["normal", "fixed defect", "reversible defect", "not known"]
    else:
        np.testing.assert_array_equal(mean.get_xdata(), one.grid)


def test_the_legend_of_the_roc_says_the_areas() -> None:
    legend = drawn(report_figures._roc, LABELS, LINES, None).get_legend()
    assert legend
    assert [text.get_text() for text in legend.get_texts()] == [
        f"{name}: {REPORT.metrics[model]['roc_auc']}" for name, model in MODELS.items()
    ]
