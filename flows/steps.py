"""The stages as Prefect tasks: names, retries, caching. Policy, and nothing else.

Nothing is cached or persisted: a stage that runs again must do its work again. Nothing is retried that would fail the
same way twice; a store that answers late is MLflow's own business (MLFLOW_HTTP_REQUEST_MAX_RETRIES).
"""

from __future__ import annotations

from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from expectations import gate
from flows import publish
from tasks import encode as encoding
from tasks import evaluate as evaluation
from tasks import sources, training

stage = partial(task, cache_policy=NO_CACHE, persist_result=False)

load = stage(sources.load, name="load", task_run_name="load {source}")
validate = stage(gate.validate, name="validate", task_run_name="validate")
encode = stage(encoding.matrices, name="encode", task_run_name="encode")
train = stage(training.train, name="train", task_run_name="train")
evaluate = stage(evaluation.report, name="evaluate", task_run_name="evaluate")
register = stage(publish.register, name="register", task_run_name="register")
