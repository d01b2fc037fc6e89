"""What a training will cost, said before it begins: seconds and bytes, from the numbers of rows, networks and steps.

The constants were measured on two cores (benchmarks/speed/size.py); those of a loss landscape are in
reporting/landscape.py. Time is good to a factor of two there, memory to a quarter; another processor or a GPU has other
times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import UsageError
from heart_disease.model.words import count
from heart_disease.processes import memory
from heart_disease.training.engine import BATCH_NETWORKS
from heart_disease.training.recipe import Recipe

STEP, WEIGHT = 30e-6, 0.5e-9  # seconds of a network's step, and of a weight for each row that passes it
PROGRAM = 1.2e9  # bytes of the libraries, before the first row
ROW = 450  # bytes of a patient: the frame, the encoded row here and in TensorFlow, and a shuffled order of rows
ANSWER, UNIT = 450, 12  # bytes of an answer to a tested row, and of each hidden unit on the way to it
LEARNED = 50  # bytes of a network's weight: the optimizer's moments, the gradient, and the copies that are made of it
JUDGED = 16e-6  # seconds to judge an answer, logistic regression included
SHOWN_SECONDS = 20.0  # less is not worth a line
GIB = 2**30


@dataclass(frozen=True)
class Cost:
    """The seconds that the training takes, and the bytes of the whole process at its largest."""

    seconds: float
    bytes: float

    def __str__(self) -> str:
        """``about 40 min, 5.0 GiB``."""
        minutes, hours = self.seconds / 60, self.seconds / 3600
        time = f"{self.seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.0f} h"
        return f"about {time}, {self.bytes / GIB:.1f} GiB"

    @property
    def remark(self) -> str:
        """`` (about 40 min, 5.0 GiB)``; empty if it is over in `SHOWN_SECONDS`."""
        return f" ({self})" if self.seconds > SHOWN_SECONDS else ""


NOTHING = Cost(0, 0)


def estimate(rows: int, recipes: Sequence[Recipe], evaluation: Evaluation) -> Cost:
    """The cost of training these recipes, the challenger's and the champion's, on so many patients."""
    seconds, answers, weights = 0.0, 0.0, 0.0
    for i, recipe in enumerate(recipes):
        if evaluation.holdout is not None:
            networks, learn, test = 1, rows * (1 - evaluation.holdout), rows * evaluation.holdout
        else:
            networks, learn = evaluation.folds * evaluation.repeats, rows * (1 - 1 / evaluation.folds)
            test = rows * evaluation.repeats
        networks, shipped = networks * recipe.members, recipe.members * (i == 0 and evaluation.holdout is None)
        for number, each in ((networks, learn), (shipped, rows)):
            seconds += number * to_train(recipe, each)
        seconds += test * JUDGED * (i == 0)
        answers += test * recipe.members * (ANSWER + UNIT * sum(recipe.hidden))
        weights += min(networks + shipped, BATCH_NETWORKS) * recipe.size * LEARNED
    return Cost(seconds, PROGRAM + weights + rows * ROW + answers)


def too_large(recipes: Sequence[Recipe]) -> str:
    """What to do if not even one patient fits."""
    return f"Use smaller layers: a network has {max(recipe.size for recipe in recipes):,} weights."


def to_train(recipe: Recipe, rows: float) -> float:
    """Seconds to train one of many networks on so many patients."""
    size = rows if recipe.optimizer == "gd" else min(recipe.batch_size, rows)
    return recipe.epochs * (max(rows / size, 1) * STEP + rows * recipe.size * WEIGHT)


def check(
    rows: int,
    recipes: Sequence[Recipe],
    evaluation: Evaluation,
    *,
    fixed: bool = False,
    landscape: Cost = NOTHING,
) -> Cost:
    """The cost, if the memory that is free can hold it.

    fixed: the evaluation was recorded, and has to be as it was. landscape: what a loss landscape adds.

    Raises:
        UsageError: it cannot; the message names what would.
    """
    plain, room = estimate(rows, recipes, evaluation), memory.room()
    cost = Cost(plain.seconds + landscape.seconds, plain.bytes + landscape.bytes)
    if cost.bytes <= room:
        return cost
    ways = {"--repeats 1": Evaluation(folds=evaluation.folds, repeats=1), "--holdout 0.2": Evaluation(holdout=0.2)}
    fits = [option for option, way in ways.items() if estimate(rows, recipes, way).bytes + landscape.bytes <= room]
    if plain.bytes <= room:
        then = "It fits without --landscape."
    elif fixed:
        then = "Use a machine that has more."
    elif evaluation.holdout is None and fits:
        then = f"It fits with {fits[0]}."
    elif (fewest := estimate(1, recipes, evaluation).bytes + landscape.bytes) >= room:
        then = too_large(recipes)
    else:
        most = 1 + int((room - fewest) / (cost.bytes - fewest) * (rows - 1))
        then = f"Train on at most {most:,} of them, or on several machines: heart distribute."
    raise UsageError(
        f"{count(rows, 'patient')} need about {cost.bytes / GIB:.1f} GiB of memory like this; {room / GIB:.1f} GiB are "
        f"there. Nothing was trained. {then}"
    )
