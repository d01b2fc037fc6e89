"""What a training will cost, said before it begins: seconds and bytes, from the numbers of rows, networks and steps.

The constants were measured on two cores (benchmarks/size.py). Time is good to a factor of two there, memory to a
quarter; another processor or a GPU has other times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import UsageError
from heart_disease.model.words import count
from heart_disease.processes import memory
from heart_disease.training.recipe import Recipe

STEP, WEIGHT = 30e-6, 0.5e-9  # seconds of a network's step, and of a weight for each row that passes it
PROGRAM = 1.2e9  # bytes of the libraries, before the first row
ROW = 450  # bytes of a patient: the frame, the encoded row here and in TensorFlow, and a shuffled order of rows
ANSWER, UNIT = 450, 12  # bytes of an answer to a tested row, and of each hidden unit on the way to it
JUDGED = 16e-6  # seconds to judge an answer, logistic regression included
SHOWN_SECONDS = 20.0  # less is not worth a line
# A loss landscape is 20,402 networks: of 20,000 weights, they take half a minute and half a GiB; memory grows likewise.
MOST_WEIGHTS = 25_000
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


def estimate(rows: int, recipes: Sequence[Recipe], evaluation: Evaluation) -> Cost:
    """The cost of training these recipes, the challenger's and the champion's, on so many patients."""
    seconds, answers = 0.0, 0.0
    for i, recipe in enumerate(recipes):
        if evaluation.holdout is not None:
            networks, learn, test = 1, rows * (1 - evaluation.holdout), rows * evaluation.holdout
        else:
            networks, learn = evaluation.folds * evaluation.repeats, rows * (1 - 1 / evaluation.folds)
            test = rows * evaluation.repeats
        networks, shipped = networks * recipe.members, recipe.members * (i == 0 and evaluation.holdout is None)
        size = learn if recipe.optimizer == "gd" else min(recipe.batch_size, learn)
        for number, each in ((networks, learn), (shipped, rows)):
            steps = max(each / size, 1)
            seconds += recipe.epochs * number * (steps * STEP + each * recipe.size * WEIGHT)
        seconds += test * JUDGED * (i == 0)
        answers += test * recipe.members * (ANSWER + UNIT * sum(recipe.hidden))
    return Cost(seconds, PROGRAM + rows * ROW + answers)


def check(rows: int, recipes: Sequence[Recipe], evaluation: Evaluation, *, fixed: bool = False) -> Cost:
    """The cost, if the memory that is free can hold it.

    fixed: the evaluation was recorded, and has to be as it was.

    Raises:
        UsageError: it cannot; the message names what would.
    """
    cost, room = estimate(rows, recipes, evaluation), memory.room()
    if cost.bytes <= room:
        return cost
    ways = {"--repeats 1": Evaluation(folds=evaluation.folds, repeats=1), "--holdout 0.2": Evaluation(holdout=0.2)}
    fits = [option for option, way in ways.items() if estimate(rows, recipes, way).bytes <= room]
    if fixed:
        then = "Use a machine that has more."
    elif evaluation.holdout is None and fits:
        then = f"It fits with {fits[0]}."
    else:
        most = max(int((room - PROGRAM) / (cost.bytes - PROGRAM) * rows), 0)
        then = f"Train on at most {most:,} of them, or on several machines: heart distribute."
    raise UsageError(
        f"{count(rows, 'patient')} need about {cost.bytes / GIB:.1f} GiB of memory like this; {room / GIB:.1f} GiB are "
        f"there. Nothing was trained. {then}"
    )


def check_landscape(recipe: Recipe) -> None:
    """Make sure, before the training, that a loss landscape of such a network can be drawn after it.

    Raises:
        UsageError: the network is too large.
    """
    if recipe.size > MOST_WEIGHTS:
        raise UsageError(
            f"a network of {recipe.size} weights is too large for a loss landscape; expected at most {MOST_WEIGHTS}. "
            "Nothing was trained. Leave --landscape out, or train a smaller network."
        )
