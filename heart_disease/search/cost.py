"""What a search will cost, said before it begins: seconds and bytes. See evaluation/cost.py for a training.

The constants were measured on two cores. Time is good to a factor of two there: 1,000 configurations of the default
space took 8.5 minutes on the bundled patients, and 10 are estimated. Memory is good to a quarter: 10 configurations on
10,000 patients at 7 numbers of epochs took 2.75 GiB, and 2.9 are estimated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from heart_disease.evaluation.cost import GIB, LEARNED, PROGRAM, ROW, Cost, too_large
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import UsageError
from heart_disease.model.words import count
from heart_disease.processes import memory
from heart_disease.training.engine import BATCH_NETWORKS, FORWARD_NETWORKS
from heart_disease.training.recipe import Recipe

STEP, WEIGHT = 0.5e-6, 0.17e-9  # seconds of a network's step, and of a weight for each row that passes it
SHAPE = 2.0  # seconds to compile the training of networks of one shape
JUDGED = 1e-6  # seconds to judge an answer
ANSWER, UNIT = 120, 8  # bytes of an answer while a batch is judged, and of each hidden unit on the way to it
TAKEN = 12  # bytes of a network's weight for each further time that its answers are taken
KEPT = 25  # bytes of an answer that is kept until the end, and compared with those of the other configurations


@dataclass(frozen=True)
class Design:
    """How each configuration of a search is judged.

    rows: patients. inner_folds: of the nested cross-validation, inside each of the outer folds.
    epochs: how many times its answers are taken. here: whether this machine trains, and not a cluster.
    """

    rows: int
    evaluation: Evaluation
    inner_folds: int
    epochs: int
    here: bool = True


def estimate(recipes: Sequence[Recipe], design: Design) -> Cost:
    """The cost of searching among these recipes: the seconds on one machine, the bytes of this process."""
    rows, folds, epochs = design.rows, design.evaluation.folds, design.epochs
    outer = rows * (1 - 1 / folds)
    trained = (
        (folds * design.evaluation.repeats, outer),
        (folds * design.inner_folds, outer * (1 - 1 / design.inner_folds)),
    )
    answers = epochs * (rows * design.evaluation.repeats + folds * outer)  # answers per configuration
    fits = sum(number for number, _ in trained)
    seconds = SHAPE * len({(recipe.hidden, recipe.activation, recipe.optimizer) for recipe in recipes})
    for recipe in recipes:
        for number, learn in trained:
            size = learn if recipe.optimizer == "gd" else min(recipe.batch_size, learn)
            seconds += recipe.epochs * number * (max(learn / size, 1) * STEP + learn * recipe.size * WEIGHT)
        seconds += answers * JUDGED
    bytes_ = PROGRAM + rows * ROW + len(recipes) * answers * KEPT
    if design.here:
        at_once = min(len(recipes), max(FORWARD_NETWORKS // fits, 1)) * answers
        bytes_ += at_once * (ANSWER + UNIT * max(sum(recipe.hidden) for recipe in recipes))
        networks = min(len(recipes), max(BATCH_NETWORKS // fits, 1)) * fits
        bytes_ += networks * max(recipe.size for recipe in recipes) * (LEARNED + TAKEN * (epochs - 1))
    return Cost(seconds, bytes_)


def check(recipes: Sequence[Recipe], design: Design) -> Cost:
    """The cost, if the memory that is free can hold it.

    Raises:
        UsageError: it cannot; the message names what would.
    """
    cost, room, folds = estimate(recipes, design), memory.room(), design.evaluation.folds
    if cost.bytes <= room:
        return cost

    once = replace(design, evaluation=replace(design.evaluation, repeats=1))
    most = bisect_right(range(1, len(recipes)), float(room), key=lambda n: estimate(recipes[:n], design).bytes)
    if estimate(recipes, once).bytes <= room:
        then = "It fits with --repeats 1."
    elif most:
        then = f"It fits with --configurations {most}, or a grid of as many."
    elif (fewest := estimate(recipes[:1], replace(once, rows=folds)).bytes) >= room:
        then = too_large(recipes)
    else:
        each = (estimate(recipes[:1], once).bytes - fewest) / (design.rows - folds)  # bytes of a patient
        most = folds + int((room - fewest) / each)
        then = f"One configuration fits with --repeats 1 and at most {most:,} of them."
    raise UsageError(
        f"{count(len(recipes), 'configuration')} on {count(design.rows, 'patient')} need about {cost.bytes / GIB:.1f} "
        f"GiB of memory; {room / GIB:.1f} GiB are there. Nothing was trained. {then}"
    )
