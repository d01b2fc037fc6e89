"""Drift -> one HTML page for people: no script, nothing loaded."""

from __future__ import annotations

from collections.abc import Sequence

from expectations.failure import Failure
from heart_disease.data.remote import addresses
from heart_disease.evaluation.other_patients.drift import ALPHA, Drift
from heart_disease.reporting import hospital, pages


def render(source: str, version: str, known: int, broken: Sequence[Failure], drift: Drift) -> str:
    """The complete page. version: what the patients of `source` were compared with. known: how many were left out."""
    return pages.fill(
        "heart_disease.reporting",
        "drift_page.html",
        source=addresses.name(source),
        version=version,
        known=known,
        broken=broken,
        drift=drift,
        alpha=ALPHA,
        figures=hospital.rows({"": drift.judgement})[1:] if drift.judgement else [],
    )
