"""How often the groups of patients hold back an equal challenger, and let one pass that is worse in a group.

The population, the trials and the truth are those of error_rates.py, which keeps what it trains in the same folder.
A challenger that is worse in one group is planted: it is the champion's recipe with other seeds, and the log odds of
its out-of-fold probabilities for that group are too high by so much. What that costs follows from the known
probabilities. New data is assumed, so that *not worse* would be enough for a promotion.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from benchmarks.statistics.error_rates import DEFAULT, Pair, Setting, Trial, share, simulate
from benchmarks.statistics.population import Population
from heart_disease.evaluation import estimates, groups, verdict
from heart_disease.evaluation.estimates import Numbers
from heart_disease.evaluation.settings import Promotion

OTHER = replace(DEFAULT, seed=1)
EQUAL = (
    ("the default, other seeds", DEFAULT, OTHER),
    ("32 units, 50 epochs", DEFAULT, replace(DEFAULT, hidden=(32,), epochs=50)),
)
PLANTED = ("male", "female", "60 years and over", "asymptomatic")
SHIFTS = (0.5, 1.0, 1.5)  # how much too high, in log odds
HEADINGS = ("patients", "challenger", "true difference there", "overall not worse or better", "group judged",
            "held back by it", "held back by any group", "promoted")  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What one trial said. passes: the verdict on all patients. judged: by name, whether found worse. true: there."""

    passes: bool
    judged: dict[str, bool]
    true: float


def seen(trial: Trial, ours: Numbers, theirs: Numbers, group: str = "") -> Seen:
    """The verdict and the groups of a trial, as a training takes them; probabilities (R, n)."""
    masks, widening = groups.members(trial.frame), trial.splits.widening
    weights = estimates.resamples(len(trial.labels), trial.seed)
    overall = estimates.difference(trial.labels, ours, theirs, weights, widening)
    kind = verdict.compare(overall, Promotion().margin).kind
    found = groups.differences(masks, trial.labels, ours, theirs, widening)
    true = 0.0
    if group:
        own = masks[group]
        true = float((expected(trial, ours) - expected(trial, theirs))[own].mean())
    return Seen(kind in (verdict.BETTER, verdict.NOT_WORSE), {one.group: one.worse for one in found}, true)


def expected(trial: Trial, probabilities: Numbers) -> Numbers:
    """The expected log loss of each patient (n,), over the labels that they might have had."""
    return estimates.losses(trial.truth, probabilities)


def planted(trial: Trial, probabilities: Numbers, group: str, shift: float) -> Numbers:
    """The probabilities with the log odds of one group moved."""
    own = groups.members(trial.frame)[group]
    odds = logit(np.clip(probabilities, 1e-6, 1 - 1e-6))
    return np.asarray(np.where(own, expit(odds + shift), probabilities))


def row(n: int, title: str, found: Sequence[Seen], group: str = "") -> str:
    """One line of the table."""
    of = len(found)
    judged = [one for one in found if group in one.judged]
    cells = [
        str(n),
        title,
        f"{np.mean([one.true for one in found]):+.3f}" if group else "0",
        share(sum(one.passes for one in found), of),
        share(len(judged), of) if group else "",
        share(sum(one.judged[group] for one in judged), len(judged)) if judged else "",
        share(sum(any(one.judged.values()) for one in found), of),
        share(sum(one.passes and not any(one.judged.values()) for one in found), of),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description="Simulate how often the groups of patients decide wrongly.")
    parser.add_argument("--trials", type=int, default=200, help="trials per line (default 200)")
    parser.add_argument("--patients", type=int, nargs="*", default=[303, 1000], help="(default 303 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("error_rates"), metavar="FOLDER", help="folder for results")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    started, population = time.perf_counter(), Population()
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    for n in options.patients:
        for k, (title, champion, challenger) in enumerate(EQUAL):
            setting = Setting(n, 5, 0, max(1, 40 * 303 // n), [Pair(title, champion, challenger)])
            trials, each = simulate(population, setting, options.trials, options.seed, options.keep)
            pairs = list(zip(trials, each[challenger], each[champion], strict=True))
            print(row(n, title, [seen(*one) for one in pairs]), flush=True)
            for group, shift in [(group, shift) for group in PLANTED for shift in SHIFTS] if k == 0 else []:
                found = [seen(t, planted(t, ours, group, shift), theirs, group) for t, ours, theirs in pairs]
                print(row(n, f"worse for {group}, log odds + {shift:g}", found, group), flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
