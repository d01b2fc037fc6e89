"""What `heart compare -o` puts on its page: two runs with all that they recorded, or two models on a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from heart_disease import registry
from heart_disease.evaluation.estimates import Numbers
from heart_disease.evaluation.versions import comparison
from heart_disease.evaluation.versions.comparison import OutOfFold
from heart_disease.model.errors import HeartError, UnavailableError
from heart_disease.reporting import figures, landscape, side_by_side, tables
from heart_disease.reporting.report import comparison_page
from heart_disease.reporting.report.comparison_page import Duel, Side
from heart_disease.training.engine import TEST_LOSS, TRAIN_LOSS

if TYPE_CHECKING:
    import pandas as pd

    from heart_disease.registry import Origin, Record

WITHOUT = "Without --output, the command shows their recipes and metrics all the same."
SHOWN = ("code", "versions")  # of what differs; the table of settings has the rest


def of_runs(
    records: Sequence[Record], tested: Mapping[str, OutOfFold | None], notes: Sequence[str], margin: float
) -> str:
    """The page of two runs; its patients are those that both tested.

    tested: what each recorded, by label.

    Raises:
        UnavailableError: one recorded no probabilities, or they have no patient in common.
    """
    first, other = records
    theirs, ours = tested[first.label], tested[other.label]
    if ours is None or theirs is None:
        raise UnavailableError(
            f"no page was written: {'; '.join(notes)}; expected two runs that recorded probabilities. {WITHOUT}"
        )
    try:
        ours, theirs = comparison.shared(ours, theirs)
        widening = max(comparison.widening(one.params) for one in records)
    except ValueError as error:
        raise UnavailableError(
            f"no page was written, because {first.label} and {other.label} cannot be compared: {error}; expected runs "
            f"that were tested on the same patients. {WITHOUT}"
        ) from error
    frame = _patients(records, ours.patients)
    notes = [*notes, "Every patient was scored by networks that did not learn from them, so this compares recipes"]
    sides = _side(first, theirs.probabilities), _side(other, ours.probabilities)
    if bare := [side.name for side in sides if TEST_LOSS not in side.curves]:
        notes.append(
            f"The loss on test rows is not drawn for {' and '.join(bare)}, which recorded no curve '{TEST_LOSS}'; "
            "earlier releases called it 'loss/validation'"
        )
    return comparison_page.render(
        Duel(
            *sides,
            ours.labels,
            frame,
            ours.patients if frame is None else frame.index,
            notes,
            widening,
            margin,
            int(other.params.get("seed", 0)),
            *_differing(records),
        )
    )


def of_models(
    records: Sequence[Record], patients: pd.DataFrame, labels: Numbers, models: Sequence[tuple[Numbers, float]],
    notes: Sequence[str], margin: float,
) -> str:  # fmt: skip
    """The page of two models on patients that neither learned from.

    models: the probabilities (n,) of each, and the one from which on it answers yes.
    """
    first, other = (
        Side(record.label, record.name, p[None], {}, threshold, _landscape(record), _origin(record).sensitivity)
        for record, (p, threshold) in zip(records, models, strict=True)
    )
    notes = [*notes, "This compares the two models as they are, not their recipes"]
    return comparison_page.render(
        Duel(first, other, labels, patients, patients.index, notes, 1.0, margin, 0, *_differing(records))
    )


def _side(record: Record, probabilities: Numbers) -> Side:
    names = TRAIN_LOSS, TEST_LOSS, tables.spread_of(TEST_LOSS)
    curves = {name: np.array(registry.read_curve(record, name)) for name in names}
    recorded = {name: one for name, one in curves.items() if len(one)}
    target = _origin(record).sensitivity
    return Side(record.label, record.name, probabilities, recorded, landscape=_landscape(record), target=target)


def _origin(record: Record) -> Origin:
    return registry.origin_in(record.params, record.tags, record.label)


def _landscape(record: Record) -> bytes:
    return registry.read_bytes(record, f"{figures.FOLDER}/{landscape.FILE}") or b""


def _differing(records: Sequence[Record]) -> tuple[side_by_side.Cells, dict[str, str]]:
    first, other = map(_origin, records)
    changed = {part: words for part, words in first.differences(other).items() if part in SHOWN}
    return side_by_side.settings({record.label: record.params for record in records}), changed


def _patients(records: Sequence[Record], digests: Sequence[str]) -> pd.DataFrame | None:
    """The columns of these patients, from the file that one of the runs recorded; None if none has them any more."""
    for record in records:
        with suppress(HeartError):
            table = registry.patients_of(record.label, _origin(record), "")
            rows = comparison.find(digests, table)
            if rows is not None:
                return table.frame.iloc[rows]
    return None
