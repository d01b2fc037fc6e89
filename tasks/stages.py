"""The stages as Prefect tasks: names, retries, caching. Policy, and nothing else.

Nothing is cached or persisted: a stage that runs again must do its work again. A stage is retried only if the error may
pass. MLflow itself waits for a store that answers late (MLFLOW_HTTP_REQUEST_MAX_RETRIES). If the store is a server that
is away for longer, the last stage is retried, because by then all the work is done and would be lost; it makes one
version, however often it is tried. If the store is on this machine, nothing is retried: an error there is final.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.data.remote import addresses
from heart_disease.model.errors import UnavailableError
from heart_disease.model.words import count
from heart_disease.search import clusters, study
from tasks.compare import compare_batch
from tasks.encode import encode_patients
from tasks.evaluate import evaluate_networks
from tasks.load import load_table
from tasks.register import register_model
from tasks.train import train_networks
from tasks.validate import validate_table

P = ParamSpec("P")
R = TypeVar("R")


def _stage(
    name: str, function: Callable[P, R], run_name: str | Callable[[], str] = "", **policy: Any
) -> Callable[P, R]:
    return task(name=name, task_run_name=run_name or name, cache_policy=NO_CACHE, persist_result=False, **policy)(
        function
    )


def _server_is_away(task: object, run: object, state: Any) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, UnavailableError) and registry.uri().startswith("http")


def _load_name() -> str:
    return f"load {addresses.name(runtime.task_run.parameters['source'] or sources.BUNDLED)}"


def _train_name() -> str:
    return f"train {count(len(runtime.task_run.parameters['contest'].jobs), 'network')} at once"


def _search_name() -> str:
    recipes = runtime.task_run.parameters["recipes"]
    shape = "-".join(map(str, recipes[0].widths))
    return f"cross-validate {count(len(recipes), 'configuration')} of {shape}"


# The boxes of the README's picture.
load = _stage("load", load_table, _load_name)
validate = _stage("validate", validate_table)
encode = _stage("encode", encode_patients)
train = _stage("train", train_networks, _train_name)
evaluate = _stage("evaluate", evaluate_networks)
register = _stage(
    "register", register_model, retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=_server_is_away
)

# What `heart monitor` does with a batch.
compare = _stage("compare", compare_batch)

# The stages of a search.
cross_validate = _stage("cross-validate", study.cross_validate, _search_name)
cross_validate_there = _stage("cross-validate", clusters.cross_validate_there, _search_name)
summarise = _stage("choose", study.summarise)
