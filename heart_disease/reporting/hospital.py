"""How good a version is on the patients of a hospital: as a tracker wants it, and as people read it."""

from __future__ import annotations

from collections.abc import Mapping

from heart_disease.evaluation.estimates import METRICS, Estimate
from heart_disease.evaluation.groups import ENOUGH
from heart_disease.evaluation.other_patients.hospital import Hospital, Judgement
from heart_disease.model.words import count
from heart_disease.reporting import tables
from heart_disease.reporting.side_by_side import NONE


def values(found: Judgement) -> dict[str, float]:
    """All figures by name: the value and both ends of each interval, and what they were computed from."""
    out = tables.figures(found.metrics)
    if found.calibration:
        out |= found.calibration.slope.named("calibration_slope")
        out |= found.calibration.intercept.named("calibration_intercept")
    return out | {
        "patients": found.patients,
        "share_with_disease": found.share,
        "mean_probability": found.predicted,
        "threshold": found.threshold,
        "prevalence/log_loss": found.constant_loss,
    }


def rows(judgements: Mapping[str, Judgement]) -> list[tuple[str, ...]]:
    """A header, then one row per figure; `judgements` by the title of their column."""

    def row(title: str, *cells: object) -> tuple[str, ...]:
        return (title, *map(str, cells))

    every = judgements.values()
    calibrations = [one.calibration for one in every]
    return [
        row("metric", *judgements),
        row("patients", *(one.patients for one in every)),
        row("with heart disease", *(f"{one.share:.3f}" for one in every)),
        row("mean probability", *(f"{one.predicted:.3f}" for one in every)),
        row("prevalence's log loss", *(f"{one.constant_loss:.3f}" for one in every)),
        *(row(title, *(one.metrics[name] for one in every)) for name, title in METRICS.items()),
        row("answers yes from", *(f"{one.threshold:.3f}" for one in every)),
        row("calibration slope", *(one.slope if one else NONE for one in calibrations)),
        row("calibration intercept", *(one.intercept.signed if one else NONE for one in calibrations)),
    ]


def text(judgements: Mapping[str, Judgement]) -> str:
    """The table for a terminal."""
    return tables.aligned(rows(judgements))


def markdown(judgements: Mapping[str, Judgement]) -> str:
    """The table for MLflow's description."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows(judgements)]
    return "\n".join([head, "|---" * (len(judgements) + 1) + "|", *body])


def left_out(found: Hospital, patients: int) -> list[str]:
    """Who of so many patients was not judged, and why: a sentence, then a line per obstacle."""
    lines = []
    if found.learned:
        lines.append(f"{count(found.learned, 'patient')} left out because the version learned from them.")
    missing = patients - found.judgement.patients - found.learned
    if missing:
        lines.append(f"{count(missing, 'patient')} cannot be judged, some for several reasons:")
        lines += [f"  {one.column}: {one.patients} {one.what}" for one in found.obstacles]
    if found.unusual:
        judged = count(found.judgement.patients, "judged patient")
        lines.append(f"{found.unusual} of the {judged} are unlike those that the version learned from.")
    return lines


def remarks(found: Judgement) -> list[str]:
    """What the figures mean if they are not as they should be, a sentence each."""
    out = []
    least = min(found.sick, found.patients - found.sick)
    if least < ENOUGH:
        out.append(f"Only {count(least, 'patient')} of the smaller class: the intervals are rough.")
    if found.calibration:
        out += _calibration(found.calibration.slope, found.calibration.intercept)
    return out


def _calibration(slope: Estimate, intercept: Estimate) -> list[str]:
    out = []
    if slope.high < 1:
        out.append("Calibration slope below 1: high probabilities are too high here, low ones too low.")
    if slope.low > 1:
        out.append("Calibration slope above 1: high probabilities are too low here, low ones too high.")
    if intercept.low > 0:
        out.append("Calibration intercept above 0: the probabilities are too low here on the whole.")
    if intercept.high < 0:
        out.append("Calibration intercept below 0: the probabilities are too high here on the whole.")
    return out
