"""Load: a file of patients, or the bundled ones -> Table."""

from __future__ import annotations

import logging

from heart_disease.data import sources
from heart_disease.data.sources import Table
from heart_disease.reporting.terminal import short

log = logging.getLogger("heart")


def load_table(source: str | None) -> Table:
    """See `sources.load`."""
    table = sources.load(source)
    log.info("load      %d patients from %s, digest %s", len(table), short(table.source), table.digest[:8])
    return table
