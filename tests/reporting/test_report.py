"""What people and trackers see: names of metrics, tables, curves and figures."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heart_disease.evaluation import estimates
from heart_disease.evaluation.contest import LOGISTIC, NETWORK, PREVALENCE, Report
from heart_disease.evaluation.estimates import Estimate
from heart_disease.evaluation.groups import GroupDifference
from heart_disease.evaluation.verdict import Decision, compare
from heart_disease.reporting import figures, tables
from heart_disease.training.engine import CURVES

METRICS = ["log_loss", "brier", "roc_auc", "accuracy", "sensitivity", "specificity"]
EPOCHS = 6


def make(n: int = 90, repeats: int = 3, folds: int = 5, seed: int = 0) -> Report:
    """A report on models that are better than chance, with falling losses."""
    rng = np.random.default_rng(seed)
    labels = (rng.permutation(n) < 0.45 * n).astype(float)
    noise = rng.standard_normal((2, repeats, n))
    network, logistic = 1 / (1 + np.exp(-(2 * labels - 1 + noise)))
    probabilities = {NETWORK: network, LOGISTIC: logistic, PREVALENCE: np.full((repeats, n), labels.mean())}
    weights = estimates.resamples(n, seed)[:301]
    fits = folds * repeats
    losses = 0.7 * np.exp(-np.arange(EPOCHS) / 5) + 0.02 * rng.random((fits, EPOCHS))
    return Report(
        f"{folds}-fold cross-validation, {repeats} repeats, {n} patients",
        np.arange(n),
        labels,
        probabilities,
        {model: estimates.measure(labels, p, weights) for model, p in probabilities.items()},
        {b: estimates.difference(labels, network, probabilities[b], weights) for b in (LOGISTIC, PREVALENCE)},
        {name: losses.astype(np.float32) for name in CURVES},
    )


@pytest.fixture(scope="module")
def found() -> Report:
    return make()


@pytest.fixture(scope="module")
def holdout() -> Report:
    return make(n=61, repeats=1, folds=1)


# --- names and numbers


def test_the_names_of_the_metrics_are_stable(found: Report) -> None:
    # A tracker's dashboards, alerts and searches depend on these names: renaming one breaks them.
    metrics = ["log_loss", "brier", "roc_auc", "accuracy", "sensitivity", "specificity"]
    differences = ["log_loss_minus/logistic_regression", "log_loss_minus/prevalence"]
    expected = [f"{name}{end}" for name in [*metrics, *differences] for end in ("", "_low", "_high")]
    expected += [f"{model}/{name}" for model in ("logistic_regression", "prevalence") for name in metrics]
    assert sorted(tables.metrics(found)) == sorted(expected)


def test_the_ends_of_every_interval_are_in_the_table_of_all_models(found: Report) -> None:
    table = pd.read_csv(io.StringIO(tables.intervals(found)))
    assert len(table) == len(found.metrics) * len(METRICS)
    for model, name, *ends in table.itertuples(index=False):
        one = found.metrics[model][name]
        assert ends == pytest.approx([one.value, one.low, one.high], abs=1e-6)


def test_every_figure_is_finite_and_inside_its_interval(found: Report, holdout: Report) -> None:
    for one in (found, holdout):
        values = tables.metrics(one)
        assert all(type(value) is float and math.isfinite(value) for value in values.values())
        for name in [name.removesuffix("_low") for name in values if name.endswith("_low")]:
            assert values[f"{name}_low"] <= values[name] <= values[f"{name}_high"], name


def test_names_without_a_model_are_the_networks(found: Report) -> None:
    values = tables.metrics(found)
    for metric in METRICS:
        assert values[metric] == found.metrics[NETWORK][metric].value
        assert values[f"prevalence/{metric}"] == found.metrics[PREVALENCE][metric].value
    assert values["log_loss_minus/prevalence_high"] == found.differences[PREVALENCE].high


def test_curves_have_a_point_per_epoch_from_1_on(found: Report) -> None:
    points: dict[str, list[tuple[int, float]]] = {}
    for name, epoch, value in tables.curves(found):
        points.setdefault(name, []).append((epoch, value))
    assert list(points) == [
        "loss/train",
        "loss_std/train",
        "accuracy/train",
        "accuracy_std/train",
        "loss/test",
        "loss_std/test",
        "accuracy/test",
        "accuracy_std/test",
    ]
    for name, line in points.items():
        assert [epoch for epoch, _ in line] == list(range(1, EPOCHS + 1)), name
        assert all(type(value) is float for _, value in line)
    losses = found.curves["loss/test"]
    assert [value for _, value in points["loss/test"]] == pytest.approx(losses.mean(axis=0).tolist())
    assert [value for _, value in points["loss_std/test"]] == pytest.approx(losses.std(axis=0).tolist())


def test_the_curves_of_one_fit_have_no_spread(holdout: Report) -> None:
    assert {name for name, _, _ in tables.curves(holdout)} == {
        "loss/train",
        "accuracy/train",
        "loss/test",
        "accuracy/test",
    }


def test_a_decision_says_in_which_groups_the_network_is_worse_than_the_champion() -> None:
    alone = Decision(True, "", compare(Estimate(0, -0.1, 0.1), 0.02))
    worse, equal = (GroupDifference(g, 50, Estimate(0.1, low, 0.2)) for g, low in (("female", 0.05), ("male", -0.1)))
    assert "verdict/groups" not in tables.decision_tags(alone)
    tags = tables.decision_tags(replace(alone, groups=(worse, equal)))
    assert tags["verdict/groups"] == "worse in female +0.100 [+0.050, +0.200]"
    assert tables.decision_tags(replace(alone, groups=(equal,)))["verdict/groups"] == "not worse in 1"


# --- tables


def test_the_rows_are_the_metrics_by_model(found: Report) -> None:
    header, *body = tables.rows(found)
    assert header == ("metric", "network", "logistic regression", "prevalence")
    assert [row[0] for row in body] == ["log loss", "Brier score", "ROC AUC", "accuracy", "sensitivity", "specificity"]
    assert body[0][1] == str(found.metrics[NETWORK]["log_loss"])
    assert body[2][2] == str(found.metrics[LOGISTIC]["roc_auc"])
    assert body[5][3] == str(found.metrics[PREVALENCE]["specificity"])


def test_an_estimate_as_text_has_its_interval_in_brackets() -> None:
    assert str(estimates.Estimate(0.3774, 0.331, 0.4256)) == "0.377 [0.331, 0.426]"


def test_the_terminal_table_is_under_80_columns_and_aligned(found: Report) -> None:
    lines = tables.text(found).splitlines()
    assert len(lines) == 2 + len(METRICS)
    assert max(map(len, lines)) < 80
    assert all(line == line.rstrip() for line in lines)
    assert lines[0].split() == ["metric", "network", "logistic", "regression"]
    assert set(lines[1]) == {"-", " "}
    start = lines[0].index("network")
    assert all(line[start - 2 : start] == "  " and line[start] != " " for line in lines)


def test_markdown_is_a_table_of_all_models(found: Report) -> None:
    lines = tables.markdown(found).splitlines()
    assert lines[:2] == [
        "| metric &nbsp;| network &nbsp;| logistic regression &nbsp;| prevalence |",
        "|---|---|---|---|",
    ]
    assert len(lines) == 2 + len(METRICS)
    assert all(line.count("|") == 5 and line.startswith("| ") and line.endswith(" |") for line in lines[2:])


# --- figures


def drawn(draw: Callable[[Axes, Report], None], about: Report) -> Axes:
    axes = Figure().add_subplot()
    draw(axes, about)
    return axes


def legend(axes: Axes) -> list[str]:
    shown = axes.get_legend()
    return [] if shown is None else [text.get_text() for text in shown.get_texts()]


@pytest.mark.parametrize("kind", ["cross-validation", "holdout"])
def test_there_are_four_figures_and_each_is_a_png(kind: str, request: pytest.FixtureRequest) -> None:
    about = request.getfixturevalue("found" if kind == "cross-validation" else "holdout")
    drawn = figures.draw_all(about, "version 1")
    assert set(drawn) == {"loss_curves.png", "roc_curve.png", "calibration.png", "confusion_matrix.png"}
    for name, data in drawn.items():
        assert data.startswith(b"\x89PNG\r\n\x1a\n"), name
        assert data.endswith(b"IEND\xaeB`\x82"), name
        width, height = struct.unpack(">II", data[16:24])
        assert width >= 600
        assert height >= 500
        assert len(data) > 5000, name


@pytest.mark.parametrize("draw", [figures.loss_curves, figures.roc, figures.calibration, figures.confusion])
def test_every_figure_has_a_title_and_names_both_axes(draw: Callable[[Axes, Report], None], found: Report) -> None:
    axes = drawn(draw, found)
    assert axes.get_title()
    assert axes.get_xlabel()
    assert axes.get_ylabel()


def test_loss_curves_are_the_means_over_the_folds(found: Report, holdout: Report) -> None:
    axes = drawn(figures.loss_curves, found)
    train, test = axes.get_lines()
    np.testing.assert_array_equal(train.get_xdata(), np.arange(1, EPOCHS + 1))
    np.testing.assert_allclose(test.get_ydata(), found.curves["loss/test"].mean(axis=0))
    assert axes.get_ylim()[0] == 0
    last = found.curves["loss/train"].mean(axis=0)[-1]
    assert legend(axes)[0] == f"training rows: {last:.3f} at the end"
    assert legend(axes)[1].startswith("test rows: ")
    title = axes.get_legend().get_title().get_text()  # type: ignore[union-attr]
    assert title == "mean of 15 folds, band: 1 SD"
    assert drawn(figures.loss_curves, holdout).get_legend().get_title().get_text() == ""  # type: ignore[union-attr]


def test_the_roc_has_a_line_per_repeat_and_model_and_states_the_areas(found: Report) -> None:
    axes = drawn(figures.roc, found)
    *lines, diagonal = axes.get_lines()
    assert len(lines) == 2 * 3
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    assert legend(axes) == [
        f"network: {found.metrics[NETWORK]['roc_auc']}",
        f"logistic regression: {found.metrics[LOGISTIC]['roc_auc']}",
        "network: yes from 0.50 on",
    ]
    [mark] = axes.collections
    sensitivity, specificity = (found.metrics[NETWORK][name].value for name in ("sensitivity", "specificity"))
    np.testing.assert_allclose(mark.get_offsets(), [[1 - specificity, sensitivity]])
    areas = [float(np.trapezoid(line.get_ydata(), line.get_xdata())) for line in lines]
    assert np.mean(areas[:3]) == pytest.approx(found.metrics[NETWORK]["roc_auc"].value)


def test_calibration_groups_all_patients_by_their_probability(found: Report) -> None:
    axes = drawn(figures.calibration, found)
    assert axes.get_title() == "Calibration, 4 groups of patients"
    assert legend(axes) == ["network", "logistic regression"]
    network = axes.containers[0].lines[0]  # type: ignore[attr-defined]
    x, share = np.asarray(network.get_xdata()), np.asarray(network.get_ydata())
    assert (np.diff(x) > 0).all()
    sizes = [len(part) for part in np.array_split(np.arange(90), 4)]
    assert np.average(share, weights=sizes) == pytest.approx(found.labels.mean())
    assert np.average(x, weights=sizes) == pytest.approx(found.probabilities[NETWORK].mean())


def test_calibration_bars_stay_between_0_and_1_even_if_all_patients_of_a_group_are_alike() -> None:
    one = make(n=200)
    network = np.tile(0.98 * one.labels + 0.01, (3, 1))
    axes = drawn(figures.calibration, Report(**{**vars(one), "probabilities": {NETWORK: network, LOGISTIC: network}}))
    (bars,) = axes.containers[0].lines[2]  # type: ignore[attr-defined]
    for low, high in (segment[:, 1] for segment in bars.get_segments()):
        assert -1e-12 <= low < high <= 1 + 1e-12


@pytest.mark.parametrize("kind", ["cross-validation", "holdout"])
def test_the_counts_of_the_confusion_matrix_add_up_to_the_patients(kind: str, request: pytest.FixtureRequest) -> None:
    about: Report = request.getfixturevalue("found" if kind == "cross-validation" else "holdout")
    axes = drawn(figures.confusion, about)
    counts = np.array([int(text.get_text().split("\n")[0]) for text in axes.texts]).reshape(2, 2)
    sick = about.labels.sum()
    assert counts.sum(axis=1).tolist() == [len(about.labels) - sick, sick]
    sensitivity, specificity = (about.metrics[NETWORK][name].value for name in ("sensitivity", "specificity"))
    assert counts[1, 1] == round(sick * sensitivity)
    assert counts[0, 1] == round((len(about.labels) - sick) * (1 - specificity))
    assert axes.texts[3].get_text().split("\n")[1] == f"{sensitivity:.0%} of row"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["no", "yes"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("network says heart disease", "has heart disease")


def test_the_answers_of_a_figure_are_those_of_the_model(found: Report) -> None:
    careful = replace(found, threshold=0.2)
    axes = drawn(figures.confusion, careful)
    assert axes.get_title() == "Patients: yes from 0.20 on, mean of the repeats"
    yes = (found.probabilities[NETWORK][:, found.labels > 0.5] >= 0.2).mean()
    assert axes.texts[3].get_text().split("\n")[1] == f"{yes:.0%} of row"


def test_drawing_leaves_no_figure_open_in_pyplot(found: Report) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    figures.draw_all(found, "version 1")
    assert pyplot.get_fignums() == before
