"""`heart distribute`: this machine's share of training one network on rows that are spread over several machines."""

from __future__ import annotations

import argparse
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_options, made
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, RejectedError, UsageError
from heart_disease.reporting.terminal import import_tensorflow, progress, wrapped
from heart_disease.training.recipe import MANY_ROWS, Recipe

if TYPE_CHECKING:
    from heart_disease.evaluation.contest import Report
    from heart_disease.evaluation.other_patients.held_out import HeldOut
    from heart_disease.evaluation.verdict import Decision
    from heart_disease.model.patient_model import PatientModel
    from heart_disease.registry import ModelRef, Run
    from heart_disease.training.parts import Part

log = logging.getLogger("heart")
CHECKED_ROWS = 100


def add(parser: argparse.ArgumentParser) -> None:
    """Options: this machine's part of the rows, and the recipe."""
    parser.add_argument("--source", metavar="PART", required=True, help="Parquet file with this machine's part")
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="folder to which the first worker also writes the model"
    )
    parser.add_argument(
        "--test", metavar="FILE",
        help="patients that are in no part (CSV, Parquet, or a folder): the first worker judges the model on them",
    )  # fmt: skip
    parser.add_argument(
        "--shuffle-rows", type=int, metavar="N", default=100_000,
        help="rows held in memory to be shuffled; 0 keeps the file's order (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--wait", type=int, metavar="SECONDS", default=120,
        help="how long to wait for the other workers (default %(default)s)",
    )  # fmt: skip
    group = parser.add_argument_group("recipe", "The same on every machine.")
    add_options(group, Recipe, base=MANY_ROWS, leave_out=("members",))


def run(options: argparse.Namespace) -> int:
    """Train with the workers of TF_CONFIG; the chief tracks and registers, and writes the model to a folder.

    Raises:
        UsageError: TF_CONFIG or the recipe cannot be used.
        DataError: this machine's part cannot be used, nor can the patients to judge on.
        UnavailableError: a worker is missing or has ended; or, on the chief, the MLflow store cannot be used.
    """
    source, output, shuffle_rows, wait = options.source, options.output, options.shuffle_rows, options.wait
    recipe = made(Recipe, options, MANY_ROWS.as_dict())
    if shuffle_rows < 0 or wait <= 0:
        raise UsageError(f"--shuffle-rows {shuffle_rows} --wait {wait:g}: expected 0 or more, and more than 0")
    from heart_disease.training.workers import Cluster

    cluster = Cluster.from_environment()
    with progress(), ExitStack() as stack:
        if cluster.is_chief:
            from heart_disease import registry

            judging = Judging.on(options.test, source) if options.test else None
            tags = {"source": source, "workers": str(len(cluster.addresses))}
            record = stack.enter_context(registry.open_run(f"distributed: {recipe.title}", tags))
        import_tensorflow()
        # Workers end one by one, and the remaining ones report that as an error even if all is done.
        logging.getLogger("tensorflow").setLevel(logging.CRITICAL)
        from heart_disease.training import distributed, parts
        from heart_disease.training.engine import TRAIN_ACCURACY, TRAIN_LOSS

        log.info("join      worker %d of %s", cluster.index, ", ".join(cluster.addresses))
        started = time.monotonic()

        def tell(epoch: int, loss: float, accuracy: float) -> None:
            done = f"epoch {epoch} of {recipe.epochs}, {time.monotonic() - started:.1f} s"
            log.info("train     %s: loss %.4f, accuracy %.4f", done, loss, accuracy)

        trained = distributed.train(source, recipe, cluster, shuffle_rows=shuffle_rows, wait=wait, progress=tell)
        seconds = time.monotonic() - started
        log.info("train     %d rows of %d workers: %.1f s", sum(trained.rows), len(trained.rows), seconds)
        metrics = {"train_loss": trained.losses[-1], "train_accuracy": trained.accuracies[-1], "seconds": seconds}
        facts = {"worker": cluster.index, "rows": trained.rows, **metrics}
        if not cluster.is_chief:
            if options.json:
                write_json(facts | {"version": None, "folder": None, "judged": None})
            return ExitCode.DONE
        settings = {**recipe.as_text(), "shuffle_rows": shuffle_rows, "rows": sum(trained.rows), "parts": trained.rows}
        curves = {TRAIN_LOSS: trained.losses, TRAIN_ACCURACY: trained.accuracies}
        registry.log_values(record, settings, metrics, curves)
        patients = next(parts.Part(source).chunks(CHECKED_ROWS))
        ref = registry.log_model(record, trained.model, patients.head())
        with registry.stranger() as stranger:
            registry.check_model(ref, trained.model, patients, stranger)
        if output:
            trained.model.save(Path(output))
        log.info("register  %s version %s, loaded back and checked", ref.name, ref.version)
        judged = judging.of(trained.model, record, ref, recipe.seed) if judging else None
    if options.json:
        write_json(facts | {"version": ref, "folder": output, "judged": judged and judged.facts})
        return ExitCode.DONE
    print(judged.text(ref) if judged else _not_judged(ref))
    if output:
        print(f"encoder.json, network.keras and threshold.json are in '{output}'")
    return ExitCode.DONE


@dataclass(frozen=True)
class Judging:
    """The patients to judge on, the part whose patients the baselines learn from, and the champion, if there is one."""

    held_out: HeldOut
    part: Part
    champion: ModelRef | None
    model: PatientModel | None

    @classmethod
    def on(cls, test: str, part: str) -> Judging:
        """Make sure that the patients of `test` can be judged on, before anything is trained.

        Raises:
            DataError: they cannot be read, are refused by the validation, or too few of them are new.
            UnavailableError: the champion cannot be loaded.
        """
        from expectations import gate
        from heart_disease import registry
        from heart_disease.data import sources
        from heart_disease.evaluation.other_patients import held_out
        from heart_disease.training.parts import SHUFFLE_ROWS, Part

        table = sources.load(test)
        validation = gate.validate(table)
        if not validation.passed:
            raise RejectedError(validation.refusal("nothing was trained"))
        champion = registry.find_champion()
        model = registry.load_model(champion) if champion else None
        own = Part(part)
        return cls(held_out.choose(table, own.chunks(SHUFFLE_ROWS), model), own, champion, model)

    def of(self, model: PatientModel, record: Run, ref: ModelRef, seed: int) -> Judged:
        """Judge a new version, and record the verdict; the champion stays."""
        from heart_disease import registry
        from heart_disease.evaluation.contest import LOGISTIC_ROWS
        from heart_disease.evaluation.other_patients import held_out
        from heart_disease.evaluation.settings import Promotion
        from heart_disease.evaluation.verdict import decide
        from heart_disease.reporting import tables

        sample = next(self.part.chunks(LOGISTIC_ROWS)).astype("float64")
        report = held_out.judge(model, self.held_out, sample, self.model, seed)
        known = f"version {self.champion.version}" if self.champion else None
        decision = decide(report, Promotion(), champion=known, data_changed=True)
        described = f"{report.description}.\n\n{tables.markdown(report)}"
        registry.log_evaluation(record, ref, tables.metrics(report), [], report.description, described)
        tags = tables.decision_tags(decision) | {"test": self.held_out.table.digest}
        registry.log_tags(record, tags | {"decision": decision.reason})
        registry.log_version_tags(ref, tags)
        registry.set_challenger(ref, decision.reason)
        return Judged(report, decision)


@dataclass(frozen=True)
class Judged:
    """What the patients to judge on say about a new version."""

    report: Report
    decision: Decision

    @property
    def facts(self) -> dict[str, object]:
        """What programs get."""
        from heart_disease.evaluation.estimates import MINUS

        report = self.report
        found = {"judged_by": report.description, "metrics": report.metrics, MINUS: report.differences}
        return {"decision": self.decision, **found}

    def text(self, ref: ModelRef) -> str:
        """What people get: the table, the verdict, and what to do then."""
        from heart_disease.reporting import tables

        passed = "passed" if self.decision.promote else "not passed"
        verdict = f"{ref.name} version {ref.version}: {passed}, on {self.report.description}"
        lines = ["", tables.text(self.report), "", wrapped(verdict), wrapped(f"  {self.decision.reason}")]
        if self.decision.promote:
            lines.append(f"To make it champion: heart promote {ref.version} --because WHY")
        return "\n".join(lines)


def _not_judged(ref: ModelRef) -> str:
    return f"{ref.name} version {ref.version} has no alias: it was judged only on patients it learned from"


COMMAND = Command(
    name="distribute",
    help="train with other machines, each on its part of the rows",
    description="Do this machine's share of training one network on more rows than one machine holds. Start the same "
    "command on every machine, each with its own part and its own TF_CONFIG. The first worker keeps the result.",
    add=add,
    run=run,
)
