"""Which rows each of K networks takes at each step: planned on the host, segment by segment.

Networks with equal rows, seed and batch size share one order of rows, however many they are: a sweep over learning
rates costs no more planning than one network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.params import Params

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# Steps run in segments: between two of them Python reports progress and takes Ctrl-C. The batches of a segment are
# held in memory, so very many networks make the segments shorter.
SEGMENT_STEPS = 256
SEGMENT_CELLS = 16_000_000


@dataclass(frozen=True)
class Job:
    """One network to train: on `rows` of the matrix `inputs[matrix]`, watched on the rows `watch`.

    rows, watch: row numbers. `watch` may be empty; its loss and accuracy are measured, and never learned from.
    """

    params: Params
    rows: Ints
    watch: Ints
    matrix: int = 0


class Plan:
    """Which rows every network takes at every step. U distinct orders of rows serve K >= U networks."""

    def __init__(self, jobs: Sequence[Job], n: int) -> None:
        orders: dict[tuple[object, ...], Order] = {}
        self.jobs, self.of = jobs, np.zeros(len(jobs), np.int32)  # of: (K,) the order that each network follows
        for k, job in enumerate(jobs):
            size = len(job.rows) if job.params.optimizer == "gd" else min(job.params.batch_size, len(job.rows))
            key = (job.rows.tobytes(), job.watch.tobytes(), job.matrix, job.params.seed, size)
            if key not in orders:
                orders[key] = Order(len(orders), job, size, n)
            self.of[k] = orders[key].number
        self.orders = list(orders.values())
        self.width = max(order.size for order in self.orders)
        self.noise_width = sum(jobs[0].params.hidden) if any(job.params.dropout for job in jobs) else 0
        self.last_step = np.array(
            [job.params.epochs * self.orders[u].steps for job, u in zip(jobs, self.of, strict=True)]
        )
        self.steps = int(self.last_step.max())
        cells = len(self.orders) * self.width * (2 + self.noise_width) + 4 * len(jobs)
        self.segment_steps = max(1, min(SEGMENT_STEPS, SEGMENT_CELLS // cells, self.steps))

    def segments(self) -> Iterator[tuple[int, int]]:
        """Steps from and to; a segment ends wherever a network is finished."""
        start = 0
        for end in sorted(set(self.last_step.tolist())):
            for stop in [*range(start + self.segment_steps, end, self.segment_steps), end]:
                yield start, stop
                start = stop

    def batches(self, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        """Batches of the steps from `start` to `stop`, padded to S = `segment_steps`.

        Rows (S, U, B) in the stacked matrices; the share of each row in its batch's mean (S, U, B), 0 for padding;
        whether an epoch ends (S, U); noise for dropout (S, U, B, hidden units), of no width where none is used.
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
        """The watched rows (U, V) in the stacked matrices, and the share of each in the mean."""
        longest = max([1, *(len(order.watch) for order in self.orders)])
        rows, share = np.zeros((len(self.orders), longest), np.int64), np.zeros((len(self.orders), longest), np.float32)
        for order in self.orders:
            if len(order.watch):
                rows[order.number, : len(order.watch)] = order.watch
                share[order.number, : len(order.watch)] = 1 / len(order.watch)
        return rows, share

    def copy_marks(self, start: int, stop: int, marks: Floats, curves: Floats) -> None:
        """Move what was marked at the ends of epochs, (steps, 4, K), to its epoch in `curves`, (4, K, epochs)."""
        for order in self.orders:
            epochs = np.arange(start // order.steps, stop // order.steps)
            at = (epochs + 1) * order.steps - 1 - start
            for k in np.flatnonzero(self.of == order.number).tolist():
                own = epochs < self.jobs[k].params.epochs
                measured = slice(None) if len(self.jobs[k].watch) else slice(2)
                curves[measured, k, epochs[own]] = marks[at[own], measured, k].T


class Order:
    """The batches of one order of rows: each epoch a new shuffle, the last batch of an epoch smaller."""

    def __init__(self, number: int, job: Job, size: int, n: int) -> None:
        self.number, self.size = number, size
        self.rows, self.watch = job.rows + job.matrix * n, job.watch + job.matrix * n  # rows of the stacked matrices
        self.steps = -(-len(job.rows) // size)  # an epoch
        real = (np.arange(self.steps * size) < len(job.rows)).reshape(self.steps, size)
        self.share = (real / real.sum(axis=1, keepdims=True)).astype(np.float32)  # (steps, size), 0 for padding
        shuffles, noise = np.random.SeedSequence(job.params.seed).spawn(2)
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
