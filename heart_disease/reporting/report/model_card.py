"""The model card: the facts of the report page, short, in Markdown (Mitchell et al., Model cards, FAT* 2019)."""

from __future__ import annotations

import re

from heart_disease.evaluation.verdict import Decision
from heart_disease.model import schema, support
from heart_disease.model.words import count
from heart_disease.reporting import tables
from heart_disease.reporting.report.facts import Facts

FILE = "model_card.md"  # in the report's folder among the artifacts of a run
MOST_IMPORTANT = 3


def render(facts: Facts, decision: Decision, link: str) -> str:
    """The card. decision: what became of the version when it was trained. link: where the report page is."""
    report, threshold = facts.report, facts.threshold
    sick = int(schema.label(facts.frame).sum())
    columns = len(schema.COLUMNS) - len(report.without)
    judged = [one for one in facts.slices if one.log_loss]
    others = [one.name for one in facts.slices if not one.log_loss]
    lines = [
        f"**{facts.title}** gives the probability of heart disease (over 50 % narrowing of a major vessel) from "
        f"{count(columns, 'column')} in UCI codes. [The report]({link}) has the figures.",
        "",
        tables.markdown(report),
        "",
        f"* **Verdict of its training:** {decision.words}.",
        f"* **Data:** {len(facts.frame)} patients of {_plain(facts.source)}, {sick} of them with disease.",
        f"* **Judged by** {report.description}. Every patient was scored by networks that did not learn from them; "
        "brackets hold 95 % intervals.",
        f"* **Threshold:** to find {100 * threshold.target:.0f} % of the patients with disease, say yes from "
        f"{threshold.value:.2f} on. {facts.people} The model itself answers yes from {report.threshold:.2f} on.",
    ]
    if facts.calibration:
        lines.append(
            f"* **Calibration:** slope {facts.calibration.slope} (1 is right), intercept "
            f"{facts.calibration.intercept} (0 is right)."
        )
    if judged:
        lines.append(f"* **Groups**, log loss: {', '.join(f'{one.name} {one.log_loss}' for one in judged)}.")
    if others:
        lines.append(f"* **Too few to judge:** {', '.join(others)}.")
    if report.influences:
        first = [schema.BY_NAME[one.column].meaning for one in report.influences[:MOST_IMPORTANT]]
        lines.append(f"* **What it uses most:** {', '.join(first)}.")
    may_be_blank = [column.name for column in schema.COLUMNS if column.optional and column.name not in report.without]
    lines.append(f"* **Blanks:** {_blanks(may_be_blank)} Nothing is filled in.")
    if facts.usual:
        lines.append(
            f"* **Unlike these patients:** whoever is farther from their mean than {100 * support.USUAL:.0f} % of them "
            f"is flagged; {100 * facts.usual.flagged:.1f} % of {facts.usual.patients} patients who were left out were."
        )
    lines += [
        "* **Use:** learning and engineering. It is not a medical device: do not diagnose or treat anybody by it.",
        "* **Limits:** it was tested on patients from the same source, who were referred for an examination. Other "
        "hospitals and people in general may give other results.",
    ]
    return "\n".join(lines) + "\n"


def _blanks(names: list[str]) -> str:
    if not names:
        return "a patient with a blank is not scored."
    named = " or ".join(names)
    return f"a blank in {named} is an input of its own, learned like a code; a patient with another one is not scored."


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~-])", r"\\\1", text)
