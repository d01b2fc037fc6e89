"""The stages as Prefect tasks: names, retries, caching. Policy, and nothing else.

Nothing is cached or persisted: a stage that runs again must do its work again. Nothing is retried that would fail the
same way twice. A store that answers late is MLflow's own business (MLFLOW_HTTP_REQUEST_MAX_RETRIES); where it is a
server that is away for longer, the last stage is tried again, for all the work is done and would be lost. It ends in
one version, however often it is tried. With the store on this machine nobody waits: an error there stays one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE

from expectations import gate
from flows import clusters, publish
from tasks import encode as encoding
from tasks import evaluate as evaluation
from tasks import registry, sources, training
from tasks import sweep as sweeping
from tasks.errors import UnavailableError

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
    return f"load {Path(runtime.task_run.parameters['source'] or sources.BUNDLED).name}"


def _train_name() -> str:
    return f"train {len(runtime.task_run.parameters['jobs'])} networks at once"


def _sweep_name() -> str:
    recipes = runtime.task_run.parameters["recipes"]
    shape = "-".join(map(str, (29, *recipes[0].hidden, 1)))
    return f"cross-validate {len(recipes)} configuration{'s' * (len(recipes) > 1)} of {shape}"


load = _stage("load", sources.load, _load_name)
validate = _stage("validate", gate.validate)
encode = _stage("encode", encoding.matrices)
train = _stage("train", training.train, _train_name)
evaluate = _stage("evaluate", evaluation.report)
cross_validate = _stage("cross-validate", sweeping.cross_validate, _sweep_name)
cross_validate_there = _stage("cross-validate", clusters.cross_validate, _sweep_name)
summarise = _stage("choose", sweeping.summarise)
register = _stage(
    "register", publish.register, retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=_server_is_away
)
