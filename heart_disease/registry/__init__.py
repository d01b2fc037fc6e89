"""MLflow: runs, curves, figures, models and aliases. Nothing else imports mlflow, except a model's script.

    store.py      where the store is, what things in it are called, and one error for all its failures
    views.py      what MLflow's page shows of an experiment, and the colours of runs
    failures.py   what a store's failure says, and what to do about it
    runs.py       runs: opened, ended and written to
    hospitals.py  a version judged on the patients of a hospital
    sweeps.py     a search, and one run for each of its configurations
    orphans.py    runs left RUNNING by a process that died
    prune.py      old runs, versions and models that are no longer needed
    hidden.py     what pruning could only hide, removed from a server's database
    origins.py    what a version was made from
    artifacts.py  the files of a version: fetched, and compared with their digest
    drivers.py    packages that a store needs and does not bring
    moved.py      a store whose folder was renamed or copied
    accounts.py   the accounts of an MLflow server, as docker-compose.yml makes them
    shipped.py    a version loaded as MLflow's users load it, in a process without this project
    uploads.py    a model as MLflow keeps it, with its files and its origin
    models.py     versions of the model: made, checked, loaded, found
    lookup.py     finds runs and versions by what a person types, and reads what they recorded
    moves.py      every move of the champion, as MLflow keeps it
    champions.py  which version is champion, and how that alias is moved

The rest of the project imports it all from here: `from heart_disease import registry`.
"""

from __future__ import annotations

from heart_disease.registry.access.store import (
    CHALLENGER,
    CHAMPION,
    EXPERIMENT,
    FLOW_API,
    FLOW_RUN,
    HOSPITALS,
    LESSONS,
    MODEL,
    MONITORING,
    SWEEPS,
    TRAINING,
    ModelRef,
    Run,
    check_embedded_store,
    file_link,
    file_url,
    page,
    place,
    run_url,
    uri,
)
from heart_disease.registry.access.views import COLOUR, colour, save_trainings_view, save_view, training_url
from heart_disease.registry.champions import (
    champion,
    earlier_champions,
    find_champion,
    history,
    move_champion,
)
from heart_disease.registry.cleaning.orphans import Open, close_run, open_runs
from heart_disease.registry.cleaning.prune import Unneeded, delete, find_unneeded
from heart_disease.registry.hospitals import log_hospital
from heart_disease.registry.lookup import Record, find_record, read_bytes, read_curve, read_text, two_records
from heart_disease.registry.models import (
    SAME,
    all_versions,
    by_alias,
    by_version,
    check_loads,
    check_model,
    copy_model,
    load_model,
    log_card,
    log_model,
    log_version_tags,
    set_challenger,
    versions,
)
from heart_disease.registry.moves import Kind, Move
from heart_disease.registry.origins import (
    COPY,
    DECLARED,
    DEVICE,
    MEMBERS,
    RIVAL,
    RIVAL_RUN,
    SNAPSHOT,
    Origin,
    evaluation_of,
    origin_here,
    origin_in,
    origin_of,
    patients_of,
    read_again,
    source_tags,
)
from heart_disease.registry.runs import (
    ABOUT_MONITORING,
    artifact_uri,
    find_try,
    finish_try,
    log_data,
    log_evaluation,
    log_files,
    log_start,
    log_tags,
    log_values,
    open_experiment,
    open_run,
    read_run,
)
from heart_disease.registry.shipped import stranger
from heart_disease.registry.sweeps import (
    ABOUT_SWEEPS,
    forget_batch,
    log_batch,
    log_configuration,
    log_search,
    open_sweep,
    read_batches,
    tag_configuration,
)

__all__ = [
    "ABOUT_MONITORING",
    "ABOUT_SWEEPS",
    "CHALLENGER",
    "CHAMPION",
    "COLOUR",
    "COPY",
    "DECLARED",
    "DEVICE",
    "EXPERIMENT",
    "FLOW_API",
    "FLOW_RUN",
    "HOSPITALS",
    "LESSONS",
    "MEMBERS",
    "MODEL",
    "MONITORING",
    "RIVAL",
    "RIVAL_RUN",
    "SAME",
    "SNAPSHOT",
    "SWEEPS",
    "TRAINING",
    "Kind",
    "ModelRef",
    "Move",
    "Open",
    "Origin",
    "Record",
    "Run",
    "Unneeded",
    "all_versions",
    "artifact_uri",
    "by_alias",
    "by_version",
    "champion",
    "check_embedded_store",
    "check_loads",
    "check_model",
    "close_run",
    "colour",
    "copy_model",
    "delete",
    "earlier_champions",
    "evaluation_of",
    "file_link",
    "file_url",
    "find_champion",
    "find_record",
    "find_try",
    "find_unneeded",
    "finish_try",
    "forget_batch",
    "history",
    "load_model",
    "log_batch",
    "log_card",
    "log_configuration",
    "log_data",
    "log_evaluation",
    "log_files",
    "log_hospital",
    "log_model",
    "log_search",
    "log_start",
    "log_tags",
    "log_values",
    "log_version_tags",
    "move_champion",
    "open_experiment",
    "open_run",
    "open_runs",
    "open_sweep",
    "origin_here",
    "origin_in",
    "origin_of",
    "page",
    "patients_of",
    "place",
    "read_again",
    "read_batches",
    "read_bytes",
    "read_curve",
    "read_run",
    "read_text",
    "run_url",
    "save_trainings_view",
    "save_view",
    "set_challenger",
    "source_tags",
    "stranger",
    "tag_configuration",
    "training_url",
    "two_records",
    "uri",
    "versions",
]
