"""What the report says of probabilities, beside packages that others wrote for it: dcurves, relplot, fairlearn.

They take one probability per patient, so each repeat is given to them by itself, and the mean is taken over their
answers.
"""

from __future__ import annotations

import dcurves
import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    count,
    mean_prediction,
    selection_rate,
    true_negative_rate,
    true_positive_rate,
)
from relplot.kernels import ReflectedGaussianKernel
from scipy.special import expit
from sklearn.metrics import log_loss

from heart_disease.evaluation import clinical, groups
from heart_disease.evaluation.estimates import Numbers
from heart_disease.model import schema
from tests.harness.data import patients

FRAME = patients.make(400, seed=2)
LABELS = schema.label(FRAME).to_numpy()
THRESHOLDS = np.linspace(0.01, 0.99, 99)


def probabilities(labels: Numbers, repeats: int = 3, seed: int = 0) -> Numbers:
    """Probabilities (repeats, n) that are better than chance."""
    return expit(2 * labels - 1 + np.random.default_rng(seed).standard_normal((repeats, len(labels))))


P = probabilities(LABELS)


@pytest.mark.parametrize("decimals", [1, 16], ids=["many at the threshold", "smooth"])
def test_net_benefit_is_that_of_dcurves(decimals: int) -> None:
    p = np.round(P, decimals)
    table = pd.DataFrame({"sick": LABELS, **{f"repeat {k}": one for k, one in enumerate(p)}})
    found = dcurves.dca(table, "sick", [f"repeat {k}" for k in range(len(p))], THRESHOLDS)
    theirs = found.pivot_table("net_benefit", "model", "threshold")
    mean = theirs.drop(["all", "none"]).mean().to_numpy()
    np.testing.assert_allclose(clinical.net_benefit(LABELS, p, THRESHOLDS), mean, atol=1e-12)
    everybody = clinical.net_benefit(LABELS, np.ones((1, len(LABELS))), THRESHOLDS)
    np.testing.assert_allclose(everybody, theirs.loc["all"], atol=1e-12)
    assert (theirs.loc["none"] == 0).all()


def test_the_smooth_curve_is_that_of_relplot_away_from_its_ends() -> None:
    # relplot adds to the probability the kernel mean of outcome minus probability; here a line is fitted around each
    # point. Both are the same where the patients lie evenly. They differ at the ends, where relplot mirrors the
    # patients, and by what a line explains and a mean does not.
    labels = (np.random.default_rng(1).permutation(5000) < 2200).astype(float)
    p = probabilities(labels, repeats=4)
    found = clinical.smooth(labels, p)
    assert found
    kernel = ReflectedGaussianKernel(1.06 * p.std() * len(labels) ** -0.2)
    added, _ = kernel.smooth(p.ravel(), np.tile(labels, 4) - p.ravel(), found.grid)
    np.testing.assert_allclose(found.share[5:-5], (found.grid + added)[5:-5], atol=0.01)
    assert np.abs(found.share - found.grid).max() > 0.1  # the diagonal would not do


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_groups_have_the_figures_of_fairlearn(threshold: float) -> None:
    sex, cp = (schema.BY_NAME[name].codes for name in ("sex", "cp"))
    ages = ["under 50 years", "50 to 59 years", "60 years and over"]
    parts = [pd.cut(FRAME["age"], [0, 49, 59, 200], labels=ages), FRAME["sex"].map(sex), FRAME["cp"].map(cp)]
    figures = {
        "n": count,
        "sick": lambda y, _: selection_rate(y, y) * len(y),
        "predicted": mean_prediction,
        "loss": lambda y, p: log_loss(y, p, labels=[0, 1]),
        "found": lambda y, p: true_positive_rate(y, p >= threshold),
        "spared": lambda y, p: true_negative_rate(y, p >= threshold),
    }
    theirs = {}
    for part in parts:
        each = [MetricFrame(metrics=figures, y_true=LABELS, y_pred=p, sensitive_features=part).by_group for p in P]
        theirs |= (sum(one.astype(float) for one in each) / len(P)).to_dict("index")
    found = clinical.slices(groups.members(FRAME), LABELS, P, threshold, seed=0)
    assert {one.name for one in found} == set(theirs)
    judged = 0
    for one in found:
        other = theirs[one.name]
        assert (one.n, one.sick) == (other["n"], pytest.approx(other["sick"]))
        assert one.predicted == pytest.approx(other["predicted"])
        if one.log_loss and one.sensitivity and one.specificity:
            judged += 1
            ours = (one.log_loss.value, one.sensitivity.value, one.specificity.value)
            assert ours == pytest.approx((other["loss"], other["found"], other["spared"]))
    assert judged >= 5
