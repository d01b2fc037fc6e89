"""Two questions about the four hospitals of the study: may blanks be filled in, and are swapped codes seen?

1. Logistic regression learns from Cleveland. At a hospital that leaves columns blank, one model gets Cleveland's median
   or most frequent code there, the other does without these columns.
2. Patients of each hospital are drawn as they are, with sex or blood sugar swapped, and with 60 % of the rarer code;
   `strangers.backwards` says which of them it refuses.

    python -m benchmarks.statistics.hospitals        about three minutes
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from heart_disease.data.copies import strangers
from heart_disease.data.sites import SITES
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder

LEFT_OUT = ("slope", "ca", "thal")
WITHOUT = {"slope, ca, thal": LEFT_OUT, "these, chol and fbs": (*LEFT_OUT, "chol", "fbs")}
RESAMPLES = 2000
MOST = 0.6


def patients(hospital: str) -> pd.DataFrame:
    """The patients, with a blank for a number that nobody can have, such as a cholesterol of 0."""
    frame = pd.read_csv(SITES[hospital]).astype("float64")
    for column in schema.COLUMNS:
        if column.limits:
            frame[column.name] = frame[column.name].where(frame[column.name].between(*column.limits))
    return frame


def blanks(hospital: str, rng: np.random.Generator) -> None:
    """Print what filling in costs at a hospital, against doing without the columns."""
    home, there = patients("cleveland"), patients(hospital)
    fill = {
        column.name: home[column.name].mode()[0] if column.codes else home[column.name].median()
        for column in schema.COLUMNS
    }
    for title, without in WITHOUT.items():
        kept = [name for name in schema.INPUT_NAMES if name not in without]
        some = there[there[kept].notna().all(axis=1)]
        sick, said, losses = schema.label(some).to_numpy(), {}, {}
        for way, left_out, cells in (
            ("filled in", (), some.fillna({name: fill[name] for name in without})),
            ("left out", without, some),
        ):
            encoder = Encoder.fit(home).leaving_out(left_out)
            model = LogisticRegression(max_iter=2000).fit(encoder.transform(home), schema.label(home))
            p = model.predict_proba(encoder.transform(cells))[:, 1]
            losses[way] = -np.log(np.where(sick > 0, p, 1 - p))
            said[way] = f"AUC {roc_auc_score(sick, p):.3f}, log loss {losses[way].mean():.3f}, mean {p.mean():.0%}"
        apart = losses["filled in"] - losses["left out"]
        drawn = [apart[rng.integers(0, len(apart), len(apart))].mean() for _ in range(RESAMPLES)]
        low, high = np.quantile(drawn, (0.025, 0.975))
        print(f"{hospital}, without {title}: {len(some)} patients, {sick.mean():.0%} with disease")
        print("; ".join(f"{way}: {words}" for way, words in said.items()))
        print(f"difference in log loss {apart.mean():+.3f} [{low:+.3f}, {high:+.3f}]", flush=True)


def swapped(column: str, hospital: str, rows: int, draws: int, rng: np.random.Generator) -> None:
    """Print how often patients of a hospital are refused for a column."""
    frame = pd.read_csv(SITES[hospital]).astype("float64")
    frame = frame.loc[frame[column].notna(), [column, *strangers.MINORITIES[column][2]]]  # what the rule looks at
    rare = frame[column] == strangers.MINORITIES[column][0]
    weights = np.where(rare, MOST / rare.sum(), (1 - MOST) / (~rare).sum())
    for label in ("with the label", "without") if schema.LABEL.name in strangers.MINORITIES[column][2] else ("in all",):
        known = frame.drop(columns=schema.LABEL.name) if label == "without" else frame
        refused = dict.fromkeys(("as they are", "swapped", f"{MOST:.0%} of the rarer code"), 0)
        for _ in range(draws):
            drawn = known.iloc[rng.integers(0, len(known), rows)]
            more = known.iloc[rng.choice(len(known), rows, p=weights)]
            for name, one in zip(refused, (drawn, drawn.assign(**{column: 1 - drawn[column]}), more), strict=True):
                refused[name] += any(strangers.MINORITIES[column][1] in why for why in strangers.backwards(one))
        shares = ", ".join(f"{name} {n / draws:.1%}" for name, n in refused.items())
        print(f"{hospital}, {rows} patients {label}: refused for {column}: {shares}", flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=300)
    draws, rng = parser.parse_args().draws, np.random.default_rng(0)
    for hospital in ("hungary", "long-beach"):
        blanks(hospital, rng)
    for column, hospital, rows in product(strangers.MINORITIES, SITES, (100, 300)):
        swapped(column, hospital, rows, draws, rng)


if __name__ == "__main__":
    main()
