"""The numbers on a page: which ones its template contains, and plain computations of the others, in the page's words.

Labels are (n,), probabilities (R, n). An interval comes from the same resamples as the page's, one after another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import statsmodels.api as sm
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from heart_disease.evaluation import estimates
from heart_disease.evaluation.estimates import Estimate, Numbers

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._styled = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._styled = tag == "style"
        self.parts.append(dict(attrs).get("alt") or "")

    def handle_data(self, data: str) -> None:
        self.parts += [] if self._styled else [data]


def text(page: str) -> str:
    """What a page says, with the words for its pictures, in single spaces."""
    parser = _Text()
    parser.feed(page)
    return " ".join(" ".join(parser.parts).split())


def fixed(template: str) -> str:
    """What a page's template says, without what it fills in."""
    source = resources.files("heart_disease.reporting") / "templates" / template
    return text(re.sub(r"{{.*?}}|{%.*?%}", "", source.read_text(encoding="utf-8")))


def unexplained(page: str, expected: Iterable[str], given: str) -> Counter[str]:
    """The numbers of a page that are neither in the `expected` words nor in what it was `given`.

    An expected part that the page does not have fails.
    """
    said = text(page)
    for words in expected:
        assert words in said, words
        said = said.replace(words, "", 1)
    return Counter(NUMBER.findall(said)) - Counter(NUMBER.findall(given))


def drawn(n: int) -> Numbers:
    """The resamples of n patients."""
    found = estimates.resamples(n, 0)
    assert found is not None
    return found


def interval(each: Numbers, times: Numbers) -> str:
    """The mean of a number per patient. times: how often each patient is in each resample, after the first row."""
    rows = [np.repeat(np.arange(len(each)), one.astype(int)) for one in times[1:]]
    low, high = np.quantile([each[chosen].mean() for chosen in rows if len(chosen)], [0.025, 0.975])
    return f"{each.mean():.3f} [{low:.3f}, {high:.3f}]"


def answers_gap(
    labels: Numbers, ours: Numbers, theirs: Numbers, thresholds: tuple[float, float], widening: float
) -> list[Estimate]:
    """Sensitivity and specificity of one model minus those of another, each at its threshold, paired by patient."""
    yes = [(p >= t).mean(axis=0) for p, t in zip((ours, theirs), thresholds, strict=True)]
    times, found = drawn(len(labels))[1:].astype(int), []
    for who, sign in ((labels > 0.5, 1), (labels < 0.5, -1)):
        gap = sign * (yes[0] - yes[1])[who]
        moved = np.quantile([np.repeat(gap, one).mean() for one in times[:, who]], [0.025, 0.975]) - gap.mean()
        found.append(Estimate(gap.mean(), *(gap.mean() + widening * moved)))
    return found


def group_gaps(
    labels: Numbers, ours: Numbers, theirs: Numbers, thresholds: tuple[float, float], widening: float, looks: int
) -> dict[str, Estimate]:
    """Every metric of one model minus another's in one of `looks` groups: Student's t with Bonferroni's correction."""
    sick = labels > 0.5
    hits, squares, losses = [], [], []
    for p, t in zip((ours, theirs), thresholds, strict=True):
        hits.append(((p >= t) == sick).mean(axis=0))
        squares.append(((p - labels) ** 2).mean(axis=0))
        losses.append(np.where(sick, -np.log(p), -np.log(1 - p)).mean(axis=0))
    right = [np.mean([a[sick][:, None] > a[~sick] for a in p], axis=0) for p in (ours, theirs)]  # (sick, healthy)
    area = right[0] - right[1]
    every = {
        "log_loss": [losses[0] - losses[1]],
        "brier": [squares[0] - squares[1]],
        "roc_auc": [area.mean(axis=1), area.mean(axis=0)],
        "accuracy": [hits[0] - hits[1]],
        "sensitivity": [(hits[0] - hits[1])[sick]],
        "specificity": [(hits[0] - hits[1])[~sick]],
    }
    return {
        name: Estimate(
            each[0].mean(),
            *stats.t.interval(
                1 - 0.05 / looks,
                min(map(len, each)) - 1,
                each[0].mean(),
                widening * np.linalg.norm([stats.sem(one) for one in each]),
            ),
        )
        for name, each in every.items()
    }


def answered(labels: Numbers, p: Numbers, threshold: float) -> tuple[str, str]:
    """Sensitivity and specificity."""
    sick, yes, times = labels > 0.5, (p >= threshold).mean(axis=0), drawn(len(labels))
    return interval(yes[sick], times[:, sick]), interval(1 - yes[~sick], times[:, ~sick])


def loss(labels: Numbers, p: Numbers) -> str:
    """The log loss."""
    return interval(np.where(labels > 0.5, -np.log(p), -np.log(1 - p)).mean(axis=0), drawn(len(labels)))


def threshold(labels: Numbers, p: Numbers, target: float = 0.9) -> float:
    """The highest at which this share of the sick is found, as pages have it: a little below a probability."""
    found = p[:, labels > 0.5]
    return next(t for t in np.sort(found.ravel())[::-1] if np.mean([(q >= t).mean() for q in found]) >= target) - 1e-6


def people(labels: Numbers, p: Numbers, threshold: float) -> str:
    """What a threshold does to a hundred of the sick, and a hundred of the others."""
    yes = p >= threshold
    hits, alarms = (round(100 * yes[:, chosen].mean()) for chosen in (labels > 0.5, labels < 0.5))
    return (
        f"It finds {hits} of 100 patients with disease and misses {100 - hits}. "
        f"It alarms {alarms} of 100 without disease needlessly."
    )


def calibration(labels: Numbers, p: Numbers) -> tuple[str, str]:
    """Slope and intercept, with standard errors from the information: the sum of x x' q (1 - q) over the patients."""
    slopes, levels = [], []
    for one in p:
        x = np.column_stack([np.ones(len(one)), logit(one)])
        fit = LogisticRegression(C=np.inf, tol=1e-10, fit_intercept=False).fit(x, labels)
        level = brentq(lambda a, odds=x[:, 1]: expit(odds + a).mean() - labels.mean(), -9, 9)
        q, r = fit.predict_proba(x)[:, 1], expit(x[:, 1] + level)
        slopes.append((fit.coef_[0, 1], np.sqrt(np.linalg.inv((x.T * q * (1 - q)) @ x)[1, 1])))
        levels.append((level, 1 / np.sqrt((r * (1 - r)).sum())))
    return _wald(slopes), _wald(levels)


def calibration_gap(labels: Numbers, ours: Numbers, theirs: Numbers, widening: float) -> list[Estimate]:
    """Slope and intercept of one model minus those of another, from one large regression on both, clustered by patient.

    It has a block of columns for each repeat of each model; the repeats of a patient are one cluster.
    """
    each, n = [*ours, *theirs], len(labels)
    signs = np.repeat([1 / len(ours), -1 / len(theirs)], [len(ours), len(theirs)])
    y, who = np.tile(labels, len(each)), np.tile(np.arange(n), len(each))
    ones, odds = np.eye(len(each)).repeat(n, axis=0), logit(np.concatenate(each))
    found = []
    for x, offset, at in (
        (np.hstack([ones, ones * odds[:, None]]), None, slice(len(each), None)),
        (ones, odds, slice(None)),
    ):
        model = sm.GLM(y, x, family=sm.families.Binomial(), offset=offset)
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": who, "use_correction": False})
        value, error = signs @ fit.params[at], np.sqrt(signs @ fit.cov_params()[at, at] @ signs)
        found.append(Estimate(value, *stats.norm.interval(0.95, value, widening * error)))
    return found


def _wald(fits: list[tuple[float, float]]) -> str:
    """The mean of values and of their standard errors."""
    value, error = np.mean(fits, axis=0)
    low, high = stats.norm.interval(0.95, value, error)
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
