"""A model that was trained on more rows than memory holds, judged on patients that it did not learn from.

The figures and the baselines are those of a training (contest.py), for one held-out part, and so is the verdict. The
champion answers as it is: its recipe is not trained again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from heart_disease.data import identities
from heart_disease.data.sources import Table
from heart_disease.evaluation import groups
from heart_disease.evaluation.contest import CHAMPION, LOGISTIC, NETWORK, PREVALENCE, Report
from heart_disease.evaluation.estimates import difference, measure, resamples
from heart_disease.evaluation.versions import comparison
from heart_disease.model import schema
from heart_disease.model.patient_model import PatientModel
from heart_disease.model.words import count


@dataclass(frozen=True)
class HeldOut:
    """The patients of `table` to judge on: `rows`, by number; `left_out`: how many are not among them."""

    table: Table
    rows: np.ndarray
    left_out: int


def choose(table: Table, learned: Iterable[pd.DataFrame], champion: PatientModel | None) -> HeldOut:
    """Leave out the patients of `table` that are also in `learned`, the champion learned from, or it cannot score.

    learned: frames of patients that the model will learn from.

    Raises:
        DataError: too few are left.
    """
    ids = identities.patient_ids(table.frame)
    trained, scored = np.zeros(len(ids), bool), np.ones(len(ids), bool)
    for frame in learned:
        trained |= np.isin(ids, identities.patient_ids(frame))
    seen = {"the training": trained}
    if champion:
        seen["the champion"] = identities.rows_learned(table.frame, champion)
        scored = np.isfinite(champion.predict(table.frame)["probability"].to_numpy())
    fresh, _ = comparison.unseen(table, seen, scored)
    return HeldOut(table, np.flatnonzero(fresh), int((~fresh).sum()))


# On matrices this small, BLAS threads only wait for each other; contest.py has the figures.
@threadpool_limits.wrap(limits=1, user_api="blas")
def judge(
    model: PatientModel, held_out: HeldOut, sample: pd.DataFrame, champion: PatientModel | None, seed: int
) -> Report:
    """Compare the model with the champion, logistic regression and the prevalence, patient by patient.

    sample: patients that the model learned from, from whom the two baselines learn.
    """
    frame = held_out.table.frame.iloc[held_out.rows]
    answers = model.predict(frame)["probability"].to_numpy()
    scored = np.isfinite(answers)  # the others have a code that it never saw
    frame, rows = frame[scored], held_out.rows[scored]
    labels, learned = schema.label(frame).to_numpy(), schema.label(sample).to_numpy()
    x, y = (model.encoder.transform(some).astype(np.float64) for some in (sample, frame))
    probabilities = {NETWORK: answers[scored][None]}  # (1, n)
    if champion:
        probabilities[CHAMPION] = champion.predict(frame)["probability"].to_numpy()[None]
    probabilities[LOGISTIC] = LogisticRegression(max_iter=1000).fit(x, learned).predict_proba(y)[:, 1][None]
    probabilities[PREVALENCE] = np.full((1, len(rows)), learned.mean())
    compared: tuple[groups.GroupDifference, ...] = ()
    if champion:
        ours, theirs = probabilities[NETWORK], probabilities[CHAMPION]
        compared = groups.differences(groups.members(frame), labels, ours, theirs, widening=1.0)
    weights = resamples(len(rows), seed)
    left_out = held_out.left_out + int((~scored).sum())
    return Report(
        f"{count(len(rows), 'patient')} that the training did not see ({left_out} left out)",
        rows,
        labels,
        probabilities,
        {name: measure(labels, p, weights) for name, p in probabilities.items()},
        {
            name: difference(labels, probabilities[NETWORK], p, weights)
            for name, p in probabilities.items()
            if name != NETWORK
        },
        {},
        groups=compared,
    )
