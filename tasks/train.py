"""Train: every network of a contest at once -> Networks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from heart_disease.evaluation.contest import ALL_COLUMNS, CHAMPION, NETWORK, Contest
from heart_disease.model.words import count
from heart_disease.training import engine
from heart_disease.training.engine import Networks
from tasks.progress import Progress

log = logging.getLogger("heart")
SAY_SECONDS = 5


def train_networks(contest: Contest, device: str) -> Networks:
    """See `engine.train`."""
    started, recipe = time.monotonic(), contest.recipe
    with Progress(f"Training of {count(len(contest.jobs), 'network')}.") as page:
        tell = _progress(page)
        networks = engine.train(contest.inputs, contest.labels, contest.jobs, device=device, progress=tell)
    ours, rivals, whole = (sum(job.side == side for job in contest.jobs) for side in (NETWORK, CHAMPION, ALL_COLUMNS))
    log.info(
        "train     %s of %d parameters, %s on %s: %.1f s",
        count(ours, "network"), recipe.size, count(recipe.epochs, "epoch"), networks.device, time.monotonic() - started,
    )  # fmt: skip
    if contest.rival:
        log.info("          %d of the champion: %s", rivals, contest.rival.title)
    if whole:
        log.info("          %d with all columns", whole)
    return networks


def _progress(page: Progress) -> Callable[[int, int], None]:
    """A callback that tells the page how far the training is, and logs it every few seconds."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        page.tell(done / total)
        if time.monotonic() - last >= SAY_SECONDS and done < total:
            last = time.monotonic()
            log.info("train     %3.0f %% of %d steps", 100 * done / total, total)

    return tell
