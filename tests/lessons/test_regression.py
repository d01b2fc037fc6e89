"""Networks without a hidden layer against statsmodels, scikit-learn and the normal equations."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from heart_disease.data import sources
from heart_disease.lessons import regression
from heart_disease.lessons.lesson import Lesson
from heart_disease.model import schema
from heart_disease.model.errors import UsageError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 2))
SETTINGS = regression.Settings(epochs=400)


def test_the_linear_network_ends_where_the_normal_equations_do() -> None:
    y = 3 + X @ [1.0, -2.0] + RNG.standard_normal(80)
    found, losses = regression.linear_network(X, y, SETTINGS)
    with_ones = np.column_stack([np.ones(80), X])
    expected = np.linalg.solve(with_ones.T @ with_ones, with_ones.T @ y)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert losses[-1] == pytest.approx(((y - with_ones @ expected) ** 2).mean(), rel=1e-4)


def test_one_step_of_the_linear_network_follows_the_formula() -> None:
    y = X @ [1.0, -2.0]
    after = [regression.linear_network(X, y, regression.Settings(epochs=epochs))[0] for epochs in (1, 2)]
    error = after[0][0] + X @ after[0][1:] - y
    slopes = 2 * np.array([error.mean(), *(X * error[:, None]).mean(axis=0)])
    np.testing.assert_allclose(after[1], after[0] - 0.3 * slopes, atol=1e-5)


def test_the_logistic_network_ends_where_scikit_learn_does() -> None:
    y = (RNG.random(80) < 1 / (1 + np.exp(-(X @ [1.0, -1.0])))).astype(float)
    found, losses = regression.logistic_network(X, y, regression.Settings(epochs=1500))
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(found, [*model.intercept_, *model.coef_[0]], atol=1e-3)
    assert (np.diff(losses[:20]) < 0).all()


def test_the_weights_are_not_pulled_to_0() -> None:
    recipe = regression.recipe(SETTINGS)
    assert (recipe.hidden, recipe.weight_decay, recipe.optimizer) == ((), 0, "gd")


@pytest.mark.parametrize(("factor", "converges"), [(0.98, True), (1.02, False)])
def test_beyond_the_largest_learning_rate_descent_diverges(factor: float, converges: bool) -> None:
    with_ones = np.column_stack([np.ones(80), X])
    rate, w = factor * regression.largest_learning_rate(X), np.ones(3)
    for _ in range(2000):
        w = w - rate * 2 / 80 * with_ones.T @ (with_ones @ w)
    assert (np.abs(w).max() < 1) == converges


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return regression.run(regression.Settings())


def test_on_the_patients_both_networks_agree_with_statsmodels_within_the_tolerance(lesson: Lesson) -> None:
    for kind in ("linear", "logistic"):
        assert lesson.metrics[f"{kind}/largest_difference_in_standard_errors"] < regression.TOLERANCE
    assert "They agree: no coefficient is further off" in lesson.text


def test_the_table_has_the_results_of_ols_on_the_raw_columns(lesson: Lesson) -> None:
    patients = sources.load().frame.dropna(subset="ca")
    raw = patients[list(regression.LINEAR)]
    ols = sm.OLS(patients["thalach"], sm.add_constant(raw)).fit()
    spread = raw["age"].std(ddof=0)
    coefficient, error = ols.params["age"] * spread, ols.bse["age"] * spread
    assert "| coefficient | network |" in lesson.text  # a column without a head says nothing to a screen reader
    assert f"| age | {coefficient:.4f} | {coefficient:.4f} | {error:.4f} |" in lesson.text


def test_the_odds_are_those_of_logit_on_the_raw_columns(lesson: Lesson) -> None:
    patients = sources.load().frame.dropna(subset="ca")
    raw = sm.add_constant(patients[list(regression.LOGISTIC)])
    logit = sm.Logit(schema.label(patients), raw).fit(disp=0, tol=1e-10)
    text = " ".join(lesson.text.split())
    assert f"one more vessel coloured has {np.exp(logit.params['ca']):.2f} times the odds" in text
    assert f"multiplies the odds by {np.exp(10 * logit.params['thalach']):.2f}" in text
    assert "4 of 303 patients have a blank" in text
    assert "With all 29 inputs the coefficients" in text


def test_the_figure_and_the_curves_show_both(lesson: Lesson) -> None:
    assert len(lesson.figure.axes) == 3
    for axes in lesson.figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_legend() is not None
    assert [len(curve) for curve in lesson.curves.values()] == [600, 600]
    assert np.isfinite([*lesson.metrics.values(), *np.concatenate(list(lesson.curves.values()))]).all()


def test_too_few_epochs_are_not_called_agreement() -> None:
    lesson = regression.run(regression.Settings(epochs=20))
    assert lesson.metrics["logistic/largest_difference_in_standard_errors"] > regression.TOLERANCE
    assert "They do not agree yet" in lesson.text


def test_a_learning_rate_that_diverges_is_refused_with_the_bound() -> None:
    with pytest.raises(UsageError, match=r"learning_rate \(=2\) must be below 0\.\d+, or the descent diverges"):
        regression.run(regression.Settings(learning_rate=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"learning_rate": -1}, "greater than 0"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"columns": 3}, "Unexpected keyword argument"),
    ],
)
def test_nonsense_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        regression.Settings(**change)
