"""What the number of patients decides if nobody says it: how a network is trained, and how it is judged.

A few hundred patients need many small steps, and every one of them in the test; a million need neither. The rule was
measured on simulated patients whose true probabilities are known (benchmarks/statistics/by_rows.py; docs/scale.md has
the table):

    rows per step   a 24th of the patients, as a power of two from 32 to 8192
    epochs          75, as long as all epochs together take at most 40 million rows; never fewer than 10
    judged by       10-fold cross-validation with 5 repeats below 5,000 patients, with one repeat below 50,000;
                    then on a fifth that is held out
"""

from __future__ import annotations

import math
from dataclasses import asdict

from heart_disease.evaluation.settings import Evaluation, EvaluationOptions
from heart_disease.model.words import count
from heart_disease.training.recipe import Recipe, RecipeOptions

ONE_REPEAT, HOLD_OUT = 5_000, 50_000  # patients from which one repeat, and one held-out part, are enough
HELD_OUT = 0.2
LEAST_BATCH, MOST_BATCH, STEPS = 32, 8192, 24
MOST_EPOCHS, LEAST_EPOCHS, VISITS = 75, 10, 40_000_000


def recipe_for(rows: int, asked: RecipeOptions) -> Recipe:
    """The recipe that `asked` means for this number of patients."""
    given = asked.as_dict()
    given["epochs"] = given["epochs"] or min(MOST_EPOCHS, max(LEAST_EPOCHS, VISITS // max(rows, 1)))
    size = 2 ** round(math.log2(max(rows, 1) / STEPS))
    given["batch_size"] = given["batch_size"] or min(MOST_BATCH, max(LEAST_BATCH, size))
    return Recipe(**given)


def evaluation_for(
    rows: int, asked: EvaluationOptions, *, may_hold_out: bool = True, champion: float | None = None
) -> Evaluation:
    """The evaluation that `asked` means for this number of patients.

    may_hold_out: a search cross-validates whatever the number. champion: the sensitivity that the champion was made
    for, which holds if `asked` names none: a retraining must not change what an answer means.
    """
    sensitivity = (champion if asked.sensitivity is None else asked.sensitivity) or None
    if asked.holdout is not None:
        return Evaluation(holdout=asked.holdout, sensitivity=sensitivity)
    if may_hold_out and rows >= HOLD_OUT and asked.folds is None and asked.repeats is None:
        return Evaluation(holdout=HELD_OUT, sensitivity=sensitivity)
    repeats = asked.repeats or (Evaluation.repeats if rows < ONE_REPEAT else 1)
    return Evaluation(folds=asked.folds or Evaluation.folds, repeats=repeats, sensitivity=sensitivity)


def in_words(rows: int, asked: RecipeOptions, judged: EvaluationOptions) -> str:
    """What was chosen for this number of patients, and what was asked for, in one line."""
    recipe, evaluation = recipe_for(rows, asked), evaluation_for(rows, judged)
    size = "all rows" if recipe.optimizer == "gd" else count(recipe.batch_size, "row")
    how = f"{evaluation.folds} folds, {count(evaluation.repeats, 'repeat')}"
    if evaluation.holdout is not None:
        how = f"{evaluation.holdout:.3g} held out"
    given = asdict(judged)
    chosen = left_open(asked)
    if given["holdout"] is None:
        chosen += tuple(name for name in ("folds", "repeats") if given[name] is None)
    names = "" if len(chosen) == 4 else f"{', '.join(chosen)} "
    why = f"{names}chosen for {count(rows, 'patient')}" if chosen else "as asked"
    return f"{count(recipe.epochs, 'epoch')} in steps of {size}; {how}: {why}"


def asked_again(recipe: Recipe, by_rows: tuple[str, ...]) -> RecipeOptions:
    """The request that led to `recipe`, of which the number of patients decided the settings `by_rows`."""
    return RecipeOptions(**recipe.as_dict() | dict.fromkeys(by_rows))


def left_open(asked: RecipeOptions) -> tuple[str, ...]:
    """The settings that `asked` leaves to the number of patients."""
    return tuple(name for name, value in asked.as_dict().items() if value is None)
