"""What a run leaves for people: artifacts in Prefect, files and figures in MLflow, progress on the terminal."""

from __future__ import annotations

import colorsys
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from expectations import page
from expectations.gate import Verdict
from flows.servable import fresh_process
from tasks import plots, registry, sweep
from tasks import report as reports
from tasks.errors import MovedError
from tasks.evaluate import Report
from tasks.params import Params
from tasks.patient_model import PatientModel
from tasks.registry import ModelRef, Run
from tasks.sources import Table
from tasks.sweep import Result, Study, Summary
from tasks.verdict import Decision, in_words

log = logging.getLogger("heart")
MLFLOW_UI = "http://127.0.0.1:5000"
TRAINING = "workflowType=machine_learning"  # else a new browser shows the page's tools for language models
EXAMPLE_ROWS = 5


def validation(run: Run, verdict: Verdict) -> None:
    """The validation page and GX's result with the MLflow run, a table with the Prefect run, and the log."""
    files = {"validation.html": page.render(verdict), "validation.json": json.dumps(verdict.result, indent=1)}
    registry.log_files(run, "validation", files)
    rows = [
        {"severity": failure.severity, "rule": failure.rule, "expected": failure.expected, "observed": failure.observed}
        for failure in verdict.failures
    ]
    state = "passed" if verdict.passed else "REJECTED"
    summary = f"{state}: {verdict.checked} checks, {len(verdict.errors)} errors, {len(verdict.warnings)} warnings"
    create_table_artifact(rows, key="validation", description=f"{summary}. {verdict.rows} rows of {verdict.source}.")
    create_link_artifact(run_url(run), "MLflow run", key="mlflow-run", description="What was set, and what came of it.")
    log.info("validate  %s", summary)
    if verdict.passed:
        for message in verdict.messages(most=3):
            log.info("          %s", message)


def register(
    run: Run,
    model: PatientModel,
    table: Table,
    report: Report,
    decision: Decision,
    champion: ModelRef | None,
) -> tuple[ModelRef, Decision]:
    """Register the model, record metrics, curves and figures, check the model, and only then move an alias.

    champion: the one that `report` compares with. Where another took its place meanwhile, nothing is promoted, and the
    decision that comes back says so. Tried again, it goes on from what is there: one version, moved once.
    """
    with fresh_process() as server:  # which starts meanwhile
        ref = registry.log_model(run, model, table.frame.head(EXAMPLE_ROWS))
        registry.log_report(run, report, ref)
        registry.log_files(run, "figures", plots.draw_all(report))
        ids = [table.row_ids[row] for row in report.rows]
        registry.log_files(run, "evaluation", {reports.OUT_OF_FOLD: reports.out_of_fold(report, ids)})
        registry.check_model(ref, model, table.frame)
        server.check(ref, model, table.frame)
    if registry.find_champion() != ref:  # else an earlier try got as far as to move the alias
        expected = champion.version if champion else None
        _decided(run, ref, decision, expected)  # before the alias moves: whoever dies then has left nothing out
        if decision.promote:
            try:
                registry.move_champion(ref, expected=expected, kind="promotion", why=decision.reason)
            except MovedError as error:
                decision = replace(decision, promote=False, reason=str(error))
                _decided(run, ref, decision, expected)
    _decision_artifacts(ref, report, decision)
    return ref, decision


def _decided(run: Run, ref: ModelRef, decision: Decision, champion: str | None) -> None:
    tags = reports.decision_tags(decision, champion)
    registry.log_tags(run, tags)
    registry.log_version_tags(ref, tags)
    registry.set_challenger(ref, decision.reason)


def _decision_artifacts(ref: ModelRef, report: Report, decision: Decision) -> None:
    header, *body = reports.rows(report)
    create_table_artifact(
        [dict(zip(header, row, strict=True)) for row in body], key="metrics", description=f"{report.description}."
    )
    alias = "champion" if decision.promote else "challenger, not champion"
    lines = [
        f"* against {name}: **{found.kind}**, {in_words(found.difference)}"
        for name, found in (("logistic regression", decision.logistic), ("the champion", decision.champion))
        if found
    ]
    create_markdown_artifact(
        f"**{ref.name} version {ref.version}** is now `{alias}`: {decision.reason}.\n\n"
        f"Difference in log loss, 95 % interval, margin {decision.logistic.margin:g}:\n\n" + "\n".join(lines),
        key="decision",
    )


def batch(
    run: Run, study: Study, number: int, numbered: Sequence[tuple[int, Params]], results: Sequence[Result]
) -> None:
    """A finished batch of a search: a run for each configuration, then what the search needs to go on from here."""
    registry.forget_batch(run, number)
    for (configuration, _), result in zip(numbered, results, strict=True):
        recipe, estimates = sweep.measure(study, result)
        registry.log_configuration(
            run, recipe.title,
            {
                "configuration": str(configuration), "batch": str(number), "mlflow.runColor": _colour(configuration),
                "mlflow.note.content": reports.configuration_text(study, recipe, estimates),
            },
            recipe.as_text() | {"weights": str(recipe.size)}, reports.figures(estimates),
            {"loss/train": result.train.tolist(), "loss/validation": result.validation.tolist()},
        )  # fmt: skip
    names = ("probabilities", "inner", "train", "validation")
    registry.log_batch(run, number, {name: np.stack([getattr(one, name) for one in results]) for name in names})


def _colour(number: int) -> str:
    """For a run's curves, unlike those of the numbers before; MLflow's own choice is often the same for two runs."""
    rgb = colorsys.hls_to_rgb(number * 0.618 % 1, 0.42, 0.75)  # the golden section: never near where it was of late
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def search(run: Run, study: Study, found: Summary) -> None:
    """What a search found: figures, ranking and description of its run; an artifact for Prefect."""
    metrics = reports.figures({"log_loss": found.of_chosen, "log_loss_minus/best": found.apart})
    metrics |= reports.figures({"best/log_loss": found.of_best, "nested/log_loss": found.nested})
    description = reports.search_text(study, found)
    registry.log_search(run, {}, metrics, {"chosen": found.chosen.title, "best": found.best.title})
    registry.log_files(run, "evaluation", {"ranking.csv": reports.ranking(found)})
    note = f"{description}\n\nTheir runs: {', '.join(_mark(run, found))}."
    registry.log_tags(run, {"mlflow.note.content": note})
    columns = ["epochs", *(name for name in reports.tried(study, found) if name != "epochs")]
    # A chart leaves out what is no number where most are: 16-8 among 8, 16 and 32. `weights` says as much.
    axes = ["weights" if name == "hidden" else name for name in columns]
    registry.save_view(run, ["log_loss", "log_loss_low", "log_loss_high", "roc_auc"], columns, ["chosen"], axes)
    create_markdown_artifact(description, key="sweep", description=f"Chosen: {found.chosen.title}.")


def _mark(run: Run, found: Summary) -> list[str]:
    """Mark the chosen and the best configuration, and colour the best ten; links to the two, in Markdown."""
    # The page's charts begin with these ten; in the colours of their numbers some might look alike.
    for rank, recipe in enumerate(found.ranked[:10]):
        registry.tag_configuration(run, _but_epochs(recipe), {"mlflow.runColor": _colour(rank)})
    links = []
    # A run is named after the epochs that are best for it; the choice may be the same configuration at fewer.
    for tag, recipe, loss in (("chosen", found.chosen, found.of_chosen), ("best", found.best, found.of_best)):
        what = f"{recipe.epochs} epochs, {reports.in_brackets(loss)}"
        run_id = registry.tag_configuration(run, _but_epochs(recipe), {tag: what})
        links.append(f"[the {tag} one](#/experiments/{run.experiment_id}/runs/{run_id}?{TRAINING})")
    return links


def _but_epochs(recipe: Params) -> dict[str, str]:
    """What a configuration's run is found by: all of the recipe but the epochs, of which every run measures many."""
    return {name: value for name, value in recipe.as_text().items() if name != "epochs"}


def progress() -> Callable[[int, int], None]:
    """Says how far a long training is, every five seconds."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 5 and done < total:
            last = time.monotonic()
            log.info("train     %3.0f %% of %d steps", 100 * done / total, total)

    return tell


def mlflow_page() -> str:
    """Where a browser finds MLflow: HEART_MLFLOW_URL, or the tracking server, or where `heart ui` shows the store.

    The first is for servers that programs reach by another name than people; MLflow has no variable for that.
    """
    server = registry.uri() if registry.uri().startswith("http") else MLFLOW_UI
    return (os.environ.get("HEART_MLFLOW_URL") or server).rstrip("/")


def run_url(run: Run) -> str:
    """The run's page."""
    return f"{mlflow_page()}/#/experiments/{run.experiment_id}/runs/{run.run_id}?{TRAINING}"


def short(path: str) -> str:
    """A path relative to the working directory where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path
