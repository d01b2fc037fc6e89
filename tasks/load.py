"""Load: a file of patients, or the bundled ones -> Table."""

from __future__ import annotations

import logging

from heart_disease.data import sources
from heart_disease.data.sources import Table
from heart_disease.model.words import count
from heart_disease.reporting.terminal import short

log = logging.getLogger("heart")


def load_table(source: str | None, copy: str | None = None, force: bool = False) -> Table:
    """See `sources.load`; an empty text, as a form sends it, means the bundled patients, or no copy, as well."""
    table = sources.load(source or None, copy=copy or None, force=force)
    log.info("load      %d patients from %s, digest %s", len(table), short(table.source), table.digest[:8])
    for line in table.finding.lines() if table.finding else ():
        log.info("          %s", line)
    if table.blank_lines:
        log.info("          %s left out", count(table.blank_lines, "blank row"))
    return table
