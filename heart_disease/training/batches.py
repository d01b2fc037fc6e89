"""Which rows each of K networks takes at each step: planned on the host, segment by segment.

Networks with equal rows, seed and batch size share one order of rows, however many they are: a sweep over learning
rates costs no more planning than one network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heart_disease.training.recipe import Recipe

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# Steps run in segments: between two of them Python reports progress and sees Ctrl-C. The batches of a segment are
# held in memory, so very many networks make the segments shorter.
SEGMENT_STEPS = 256
SEGMENT_CELLS = 16_000_000


@dataclass(frozen=True)
class Job:
    """One network to train: on `rows` of the matrix `inputs[matrix]`, watched on its rows `watch`.

    rows, watch: row numbers. `watch` may be empty; its loss and accuracy are measured, but never learned from.
    epochs: the numbers of epochs after which its weights are taken, ascending; empty means the recipe's own alone.
    side, outer, fold, member: whose network it is, so that the caller finds it again; training ignores them.
    """

    recipe: Recipe
    rows: Ints
    watch: Ints
    matrix: int = 0
    epochs: tuple[int, ...] = ()
    side: Hashable = None
    outer: int | None = None
    fold: int | None = None
    member: int = 0

    @property
    def taken(self) -> tuple[int, ...]:
        """The numbers of epochs after which its weights are taken, ascending."""
        return self.epochs or (self.recipe.epochs,)

    @cached_property
    def batch_rows(self) -> int:
        """Rows per step."""
        return len(self.rows) if self.recipe.optimizer == "gd" else min(self.recipe.batch_size, len(self.rows))

    @cached_property
    def order(self) -> tuple[object, ...]:
        """A key that is equal for jobs that take the same rows at each step."""
        rows, watch = (hashlib.sha256(part.tobytes()).digest() for part in (self.rows, self.watch))
        return rows, watch, self.matrix, self.recipe.seed, self.batch_rows


_key_but_epochs = attrgetter(*(field.name for field in fields(Recipe) if field.name != "epochs"))


def kind(recipe: Recipe) -> tuple[object, ...]:
    """A key that is equal for recipes whose networks can be trained in one compiled function."""
    size = 0 if recipe.optimizer == "gd" else recipe.batch_size
    shape = (recipe.without, recipe.hidden, recipe.dropout > 0)
    return *shape, recipe.activation, recipe.optimizer, recipe.momentum, size


def together(jobs: Sequence[Job], most: int) -> list[list[list[int]]]:
    """What is trained together: batches of at most `most` networks of one `kind`.

    A network is the numbers of the jobs that it answers: those that differ only in epochs. Networks with the same rows
    and seed stay side by side, because they share their batches of rows.
    """
    kinds: dict[tuple[object, ...], dict[tuple[object, ...], dict[tuple[object, ...], list[int]]]] = {}
    for j, job in enumerate(jobs):
        order = kinds.setdefault(kind(job.recipe), {}).setdefault(job.order, {})
        order.setdefault(_key_but_epochs(job.recipe), []).append(j)
    batches = []
    for orders in kinds.values():
        networks = [numbers for order in orders.values() for numbers in order.values()]
        parts = -(-len(networks) // most)
        cuts = [len(networks) * i // parts for i in range(parts + 1)]
        batches += [networks[a:b] for a, b in pairwise(cuts)]
    return batches


def padded(rows: Sequence[Ints]) -> tuple[Ints, NDArray[np.bool_]]:
    """Row numbers of different lengths as one table (len(rows), longest), at least 1 wide; and which cells are real."""
    lengths = np.array([len(part) for part in rows])
    real = np.arange(max(1, lengths.max())) < lengths[:, None]
    table = np.zeros(real.shape, np.int64)
    table[real] = np.concatenate(rows)
    return table, real


class Plan:
    """Which rows every network takes at every step, for networks of one batch (see `together`).

    Networks with the same order of rows stand side by side: network (u, c) is column c of order u. There are U orders
    and C columns; an order with fewer networks leaves columns unused. Jobs are numbered network by network.
    Weights are taken several times: take t is for job `jobs[takes[t][0]]`, after `takes[t][1]` epochs.
    """

    def __init__(self, networks: Sequence[Sequence[Job]]) -> None:
        self.jobs = [job for network in networks for job in network]
        orders: dict[tuple[object, ...], Order] = {}
        self.recipes: list[list[Recipe]] = []  # by order and column
        slots = []
        for job, *others in networks:
            if job.order not in orders:
                orders[job.order] = Order(len(orders), job)
                self.recipes.append([])
            u = orders[job.order].number
            slots += [(u, len(self.recipes[u]))] * (1 + len(others))
            self.recipes[u].append(job.recipe)
        self.slots = np.array(slots, np.int64)  # (J, 2), the network (u, c) of each job
        self.orders = list(orders.values())
        self.matrices = np.array([order.matrix for order in self.orders])  # (U,)
        self.columns = max(map(len, self.recipes))  # C
        self.width = max(order.size for order in self.orders)
        first = self.jobs[0].recipe
        self.noise_width = sum(first.hidden) if first.dropout else 0
        self.takes = [(j, epochs) for j, job in enumerate(self.jobs) for epochs in job.taken]
        self.take_steps = np.array([epochs * self.orders[self.slots[j, 0]].steps for j, epochs in self.takes])
        self.steps = int(self.take_steps.max())
        cells = len(self.orders) * (self.width * (2 + self.noise_width) + 4 * self.columns)
        self.segment_steps = max(1, min(SEGMENT_STEPS, SEGMENT_CELLS // cells, self.steps))

    def values(self, name: str) -> Floats:
        """One field of the recipe for each network (U, C); 0 in unused columns."""
        table = np.zeros((len(self.orders), self.columns), np.float32)
        for u, recipes in enumerate(self.recipes):
            table[u, : len(recipes)] = [getattr(recipe, name) for recipe in recipes]
        return table

    def segments(self) -> Iterator[tuple[int, int]]:
        """The first step of each segment and the step after its last; a segment ends wherever weights are taken."""
        start = 0
        for end in sorted(set(self.take_steps.tolist())):
            for stop in [*range(start + self.segment_steps, end, self.segment_steps), end]:
                yield start, stop
                start = stop

    def batches(self, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        """Batches of the steps from `start` to `stop`, padded to S = `segment_steps`.

        Rows (S, U, B) in the matrix of each order; the share of each row in its batch's mean (S, U, B), 0 for padding;
        whether an epoch ends (S, U); noise for dropout (S, U, B, hidden units), of width 0 without dropout.
        """
        s, u, b = self.segment_steps, len(self.orders), self.width
        rows, share = np.zeros((s, u, b), np.int32), np.zeros((s, u, b), np.float32)
        ends, noise = np.zeros((s, u), bool), np.zeros((s, u, b, self.noise_width), np.float32)
        for order in self.orders:
            for epoch in range(start // order.steps, -(-stop // order.steps)):
                first = epoch * order.steps
                at = slice(max(start, first) - start, min(stop, first + order.steps) - start)
                steps = slice(at.start + start - first, at.stop + start - first)
                rows[at, order.number, : order.size] = order.batches(epoch)[steps]
                share[at, order.number, : order.size] = order.share[steps]
            ends[:, order.number] = (np.arange(start, start + s) + 1) % order.steps == 0
            if self.noise_width:
                noise[: stop - start, order.number, : order.size] = order.noise(stop - start, self.noise_width)
        return rows, share, ends, noise

    def watched(self) -> tuple[Ints, Floats]:
        """The watched rows (U, V) in the matrix of each order, and the share of each in the mean."""
        rows, real = padded([order.watch for order in self.orders])
        return rows, (real / np.maximum(real.sum(axis=1, keepdims=True), 1)).astype(np.float32)

    def copy_marks(self, start: int, stop: int, marks: Floats, curves: Floats) -> None:
        """Copy the marks at the ends of epochs, (steps, 4, U, C), to their epochs in `curves`, (4, U, C, epochs)."""
        for order in self.orders:
            epochs = np.arange(start // order.steps, stop // order.steps)
            epochs = epochs[epochs < curves.shape[3]]
            measured = len(curves) if len(order.watch) else 2
            at = (epochs + 1) * order.steps - 1 - start
            curves[:measured, order.number][..., epochs] = marks[at, :measured, order.number].transpose(1, 2, 0)

    def of_jobs(self, curves: Floats) -> Floats:
        """The curves of each job, (4, U, C, epochs) -> (4, J, epochs); nan after its last epoch."""
        found = curves[:, self.slots[:, 0], self.slots[:, 1]]
        own = np.array([job.taken[-1] for job in self.jobs])
        found[:, np.arange(curves.shape[3]) >= own[:, None]] = np.nan
        return found


class Order:
    """The batches of one order of rows: each epoch has a new shuffle, and its last batch may be smaller."""

    def __init__(self, number: int, job: Job) -> None:
        self.number, self.matrix, self.rows, self.watch = number, job.matrix, job.rows, job.watch
        size = self.size = job.batch_rows
        self.steps = -(-len(job.rows) // size)  # per epoch
        real = (np.arange(self.steps * size) < len(job.rows)).reshape(self.steps, size)
        self.share = (real / real.sum(axis=1, keepdims=True)).astype(np.float32)  # (steps, size), 0 for padding
        shuffles, noise = np.random.SeedSequence(job.recipe.seed).spawn(2)
        self._shuffles, self._noise = np.random.default_rng(shuffles), np.random.default_rng(noise)
        self._epoch, self._batches = -1, np.zeros((self.steps, size), np.int32)

    def batches(self, epoch: int) -> NDArray[np.int32]:
        """(steps, size), padded with row 0; epochs must be asked for in order."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._batches.ravel()[: len(self.rows)] = self._shuffles.permutation(self.rows)
        return self._batches

    def noise(self, steps: int, width: int) -> Floats:
        """(steps, size, width) uniform numbers for the next steps."""
        return self._noise.random((steps, self.size, width), np.float32)
