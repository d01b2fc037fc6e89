"""The parameters of a deployed run: complete, and checked where the outcome can be told.

Whoever triggers a run, in Prefect's page or through its API, may give one setting of `recipe`, say. Prefect (3.8) would
put that in place of the deployment's whole `recipe`. Here the deployment's other settings stay. And Prefect checks
parameters before the flow begins, so that a wrong value would end as a failure without an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from pydantic import TypeAdapter, ValidationError

from heart_disease.model.errors import UsageError


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the current flow run, with the deployment's settings if the run has none.

    They are put into the flow run, so that its page shows them, and so that another try has the same.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if not run or not run.deployment_id:
        return dict(given)
    with get_client(sync_client=True) as client:
        try:
            base = client.read_deployment(run.deployment_id).parameters
        except ObjectNotFound:  # it was deleted meanwhile
            return dict(given)
        both = {name: _over(base.get(name), value) for name, value in given.items()}
        if any(isinstance(value, Mapping) and value != both[name] for name, value in given.items()):
            client.update_flow_run(run.id, parameters={**run.parameters, **both})
    return both


def _over(base: Any, value: Any) -> Any:
    return {**base, **value} if isinstance(base, Mapping) and isinstance(value, Mapping) else value


def checked(flow: Flow[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the flow's annotations want them.

    Raises:
        UsageError: a value is not allowed; the message names each such field.
    """
    hints = get_type_hints(flow.fn, include_extras=True)
    found, problems = {}, []
    for name, value in given.items():
        try:
            found[name] = TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            problems += [_in_words(name, one) for one in error.errors()]
    if problems:
        raise UsageError("; ".join(problems))
    return found


def _in_words(name: str, problem: Mapping[str, Any]) -> str:
    """``parameter recipe.epochs (=0): input should be greater than or equal to 1``."""
    field = ".".join(map(str, [name, *problem["loc"]]))
    message = str(problem["msg"]).removeprefix("Value error, ")
    value = (
        "" if isinstance(problem["input"], Mapping) or problem["type"] == "value_error" else f" (={problem['input']})"
    )
    return f"parameter {field}{value}: {message[:1].lower()}{message[1:]}"
