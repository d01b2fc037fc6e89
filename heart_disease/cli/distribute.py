"""`heart distribute`: this machine's share of training one network on the parts of several machines."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from pathlib import Path

from heart_disease.model.errors import UsageError
from heart_disease.reporting.terminal import import_tensorflow, progress
from heart_disease.training.recipe import Recipe
from heart_disease.training.workers import Cluster

log = logging.getLogger("heart")
CHECKED_ROWS = 100


def run(source: str, params: Recipe, output: str | None, shuffle_rows: int, wait: float) -> int:
    """Train with the workers of TF_CONFIG; the chief tracks and registers, and writes the model to `output`.

    Raises:
        UsageError: TF_CONFIG or the recipe cannot be used.
        DataError: this machine's part cannot be used.
        UnavailableError: a worker is missing or has ended; or, on the chief, the MLflow store cannot be used.
    """
    if shuffle_rows < 0 or wait <= 0:
        raise UsageError(f"--shuffle-rows {shuffle_rows} --wait {wait:g}: expected 0 or more, and more than 0")
    cluster = Cluster.from_environment()
    with progress(), ExitStack() as stack:
        if cluster.is_chief:
            from heart_disease import registry

            tags = {"source": source, "workers": str(len(cluster.addresses))}
            record = stack.enter_context(registry.open_run(f"distributed: {params.title}", tags))
        import_tensorflow()
        # Workers end one by one, and those that are left report it as an error, also when all is done.
        logging.getLogger("tensorflow").setLevel(logging.CRITICAL)
        from heart_disease.training import distributed, parts

        log.info("join      worker %d of %s", cluster.index, ", ".join(cluster.addresses))
        started = time.monotonic()

        def tell(epoch: int, loss: float, accuracy: float) -> None:
            done = f"epoch {epoch} of {params.epochs}, {time.monotonic() - started:.1f} s"
            log.info("train     %s: loss %.4f, accuracy %.4f", done, loss, accuracy)

        trained = distributed.train(source, params, cluster, shuffle_rows=shuffle_rows, wait=wait, progress=tell)
        seconds = time.monotonic() - started
        log.info("train     %d rows of %d workers: %.1f s", sum(trained.rows), len(trained.rows), seconds)
        if not cluster.is_chief:
            return 0
        settings = {**params.as_dict(), "shuffle_rows": shuffle_rows, "rows": sum(trained.rows), "parts": trained.rows}
        metrics = {"train_loss": trained.losses[-1], "train_accuracy": trained.accuracies[-1], "seconds": seconds}
        curves = {"loss/train": trained.losses, "accuracy/train": trained.accuracies}
        registry.log_lesson(record, settings, metrics, curves)
        patients = next(parts.Part(source).chunks(CHECKED_ROWS))
        ref = registry.log_model(record, trained.model, patients.head())
        with registry.stranger() as stranger:
            registry.check_model(ref, trained.model, patients, stranger)
        if output:
            trained.model.save(Path(output))
        log.info("register  %s version %s, loaded back and checked", ref.name, ref.version)
    print(f"{ref.name} version {ref.version} has no alias: it was judged on no patients but those it learned from")
    if output:
        print(f"encoder.json, network.keras and threshold.json are in '{output}'")
    return 0
