"""MLflow: runs, curves, figures, models and aliases. The only importer of mlflow but for the script in a model.

store.py    where it is, what things are called, one error for all the ways in which it fails
runs.py     runs, and what is written into them
origins.py  what a version was made from
models.py   versions of the model: made, checked, loaded, found by alias
lookup.py   runs and versions by what a person types, and what they left
"""

from __future__ import annotations

from tasks.registry.lookup import Record, find_record, learned_from, read_text, two_records
from tasks.registry.models import (
    ModelRef, champion, check_model, find_champion, load_model, log_model, log_version_tags, move_champion, set_alias,
    set_challenger,
)
from tasks.registry.origins import Origin, origin_here, origin_of
from tasks.registry.runs import (
    Run,
    artifact_uri,
    log_files,
    log_lesson,
    log_report,
    log_start,
    log_tags,
    open_run,
)
from tasks.registry.store import CHALLENGER, CHAMPION, EXPERIMENT, MODEL, uri

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "EXPERIMENT",
    "MODEL",
    "ModelRef",
    "Origin",
    "Record",
    "Run",
    "artifact_uri",
    "champion",
    "check_model",
    "find_record",
    "learned_from",
    "load_model",
    "log_files",
    "log_lesson",
    "log_model",
    "log_report",
    "log_start",
    "log_tags",
    "open_run",
    "origin_here",
    "origin_of",
    "read_text",
    "set_alias",
    "two_records",
    "uri",
]
