"""Register: record what was found, check that the model loads, and only then move an alias."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from heart_disease import registry
from heart_disease.data import digests
from heart_disease.data.sources import Table
from heart_disease.evaluation.contest import Report
from heart_disease.evaluation.verdict import Decision
from heart_disease.model.errors import HistoryError, MovedError, OriginError
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef, Origin, Run
from heart_disease.reporting import figures, landscape, tables
from heart_disease.reporting.report import facts, model_card, report_page
from heart_disease.reporting.report.facts import Facts
from heart_disease.serving.rehearsal import fresh_process

log = logging.getLogger("heart")
EXAMPLE_ROWS = 5
REPORT = f"{report_page.FOLDER}/{report_page.FILE}"
CHECKED_ROWS = 1000  # rows are in the order of digests, so these come from the whole table


def register_model(
    run: Run,
    model: PatientModel,
    table: Table,
    report: Report,
    decision: Decision,
    champion: ModelRef | None,
    validated: str,
) -> tuple[ModelRef, Decision]:
    """Register the model, record metrics, curves, figures and report, check the model, and only then move an alias.

    champion: the one that `report` compares with. If another one has taken its place meanwhile, or the history of
    champions takes no further move, nothing is promoted, and the returned decision says so. validated: what validation
    said of the table. A second try continues from what is there: it makes no second version, and does not move the
    alias twice.
    """
    with registry.stranger() as stranger, fresh_process() as server:  # both start in the background
        ref = registry.log_model(run, model, table.frame.head(EXAMPLE_ROWS))
        registry.log_tags(run, {registry.COLOUR: registry.colour(int(ref.version))})
        if table.finding:
            registry.log_version_tags(ref, {registry.COPY: table.finding.title})
        registry.log_evaluation(
            run, ref, tables.metrics(report), tables.curves(report), report.description,
            f"{report.description}. [Report]({registry.file_link(run, REPORT)})\n\n{tables.markdown(report)}",
        )  # fmt: skip
        registry.log_files(run, figures.FOLDER, figures.draw_all(report, f"{ref.name} version {ref.version}"))
        if report.landscape:
            registry.log_files(run, figures.FOLDER, {landscape.FILE: report.landscape})
        ids = digests.as_text(table.row_ids[report.rows])
        files = {tables.OUT_OF_FOLD: tables.out_of_fold(report, ids), tables.INTERVALS: tables.intervals(report)}
        registry.log_files(run, "evaluation", files)
        checked = table.frame.head(CHECKED_ROWS)
        registry.check_model(ref, model, checked, stranger)
        server.check(ref, model, checked)
    if registry.find_champion() != ref:  # otherwise an earlier try has already moved the alias
        # This is written before the alias moves, so a crash after that loses nothing.
        found = facts.collect(table.frame, table.source, report, f"{ref.name} version {ref.version}", model)
        origin = registry.origin_of(ref)
        made, changed = origin.described | {"validation": validated}, _changed(origin, champion)
        _decided(run, ref, found, made, changed, decision, champion)
        if decision.promote:
            try:
                registry.move_champion(ref, expected=champion, kind="promotion", why=decision.reason)
            except (MovedError, HistoryError) as error:
                then = f", then: heart promote {ref.version} --because WHY" if isinstance(error, HistoryError) else ""
                decision = replace(decision, promote=False, reason=f"{error}{then}")
                _decided(run, ref, found, made, changed, decision, champion)
    _decision_artifacts(run, ref, report, decision)
    log.info("register  %s version %s, loaded back and checked", ref.name, ref.version)
    return ref, decision


def _decided(
    run: Run,
    ref: ModelRef,
    found: Facts,
    made: Mapping[str, str],
    changed: Mapping[str, str] | None,
    decision: Decision,
    champion: ModelRef | None,
) -> None:
    page = report_page.render(found, decision, made, changed)
    card = model_card.render(found, decision, registry.file_link(run, REPORT))
    registry.log_files(run, report_page.FOLDER, {report_page.FILE: page, model_card.FILE: card})
    registry.log_card(ref, card)
    tags = tables.decision_tags(decision)
    origin = {}
    if champion and decision.champion:
        origin = {registry.RIVAL_RUN: champion.run_id}
        tags |= {registry.RIVAL: f"version {champion.version}"}
    registry.log_version_tags(ref, tags)
    tags |= {"decision": decision.reason, "promoted": "yes" if decision.promote else "no"}
    registry.log_tags(run, tags | origin)
    registry.save_trainings_view(run)
    registry.set_challenger(ref, decision.reason)


def _changed(origin: Origin, champion: ModelRef | None) -> dict[str, str] | None:
    """What differs from the champion; None if there is none, or if what it was made from is gone."""
    if not champion:
        return None
    try:
        return registry.origin_of(champion).differences(origin)
    except OriginError:
        return None


def _decision_artifacts(run: Run, ref: ModelRef, report: Report, decision: Decision) -> None:
    header, *body = tables.rows(report)
    create_table_artifact(
        [dict(zip(header, row, strict=True)) for row in body], key="metrics", description=f"{report.description}."
    )
    alias = "champion" if decision.promote else "challenger, not champion"
    lines = [
        f"* against {name}: **{found.kind}**, {found.difference.signed}"
        for name, found in (
            ("logistic regression", decision.logistic),
            ("the champion", decision.champion),
            ("the same recipe with all columns", decision.all_columns),
        )
        if found
    ]
    if decision.groups:
        lines.append(f"* worse than the champion in groups of patients: **{tables.in_groups(decision)}**")
    create_markdown_artifact(
        f"**{ref.name} version {ref.version}** is now `{alias}`: {decision.reason}.\n\n"
        f"Difference in log loss, 95 % interval, margin {decision.logistic.margin:g}:\n\n" + "\n".join(lines),
        key="decision",
        description=f"{ref.name} version {ref.version}: {alias}.",
    )
    create_link_artifact(
        registry.file_url(run, REPORT), "The report", key="report",
        description="Calibration, threshold, groups, stability.",
    )  # fmt: skip
