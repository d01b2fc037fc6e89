"""Parameters of a deployment: what Prefect's page shows is what arrives, and one changed setting keeps the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.states import Pending
from prefect.utilities.callables import parameter_schema

from flows import train as training
from flows.train import train
from heart_disease.evaluation.settings import EvaluationOptions, Promotion
from heart_disease.model.errors import RejectedError, UsageError
from heart_disease.operations import deployments, parameters, states
from heart_disease.operations.deployments import When
from heart_disease.training.recipe import PRESETS, RecipeOptions
from tests.harness.command import one_line

DEFAULTS = {"recipe": PRESETS["default"], "evaluation": EvaluationOptions(), "promotion": Promotion()}


def plain(value: Any) -> Any:
    """As in JSON, which has no tuples."""
    return {name: list(one) if isinstance(one, tuple) else one for name, one in asdict(value).items()}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_page_shows_the_defaults_that_a_run_without_parameters_has(name: str) -> None:
    schema = parameter_schema(train)
    shown = schema.properties[name]
    of_fields = schema.definitions[shown["$ref"].rpartition("/")[2]]["properties"]
    assert shown["default"] == plain(DEFAULTS[name])
    assert {field: one["default"] for field, one in of_fields.items()} == plain(DEFAULTS[name])
    assert all(one["description"] for one in of_fields.values())


def test_each_preset_arrives_as_it_was_sent() -> None:
    for preset in PRESETS.values():
        sent = {"recipe": plain(preset)}
        assert plain(parameters.checked(train, sent)["recipe"]) == sent["recipe"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"recipe": {"epochs": 0}}, "parameter recipe.epochs (=0): input should be greater than or equal to 1"),
        ({"recipe": {"depth": 3}}, "parameter recipe.depth (=3): unexpected keyword argument"),
        ({"recipe": {"momentum": 0.9}}, "parameter recipe: momentum (=0.9) belongs to sgd and gd; adam has its own"),
        ({"device": "abacus"}, "parameter device (=abacus): input should be 'auto', 'cpu' or 'gpu'"),
        (
            {"evaluation": {"folds": 1}, "promotion": {"margin": 2}},
            "parameter evaluation.folds (=1): input should be greater than or equal to 2; parameter promotion.margin "
            "(=2): input should be less than or equal to 1",
        ),
    ],
)
def test_a_value_that_is_not_allowed_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parameters.checked(train, given)
    assert one_line(str(refused.value)) == message


# From here on with a Prefect server.


@pytest.fixture
def client(prefect: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as made:
        yield made


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What arrives in the pipeline, which does nothing."""
    found: list[dict[str, Any]] = []

    def pipeline(
        source: Any, recipe: Any, evaluation: Any, promotion: Any, device: Any, force: Any, *others: Any
    ) -> Any:
        given = {"source": source, "recipe": recipe, "evaluation": evaluation, "promotion": promotion}
        found.append({**given, "device": device, "force": force, "others": others})
        raise RejectedError("nothing was trained")

    monkeypatch.setattr(training, "pipeline", pipeline)
    return found


def deployed(kept: dict[str, Any]) -> UUID:
    made = deployments.retrain(train, When(), kept).apply()
    assert isinstance(made, UUID)
    return made


def made_run(client: SyncPrefectClient, deployment: UUID, given: dict[str, Any]) -> FlowRun:
    """The run of the deployment that is triggered with these parameters, after its end."""
    run = client.create_flow_run_from_deployment(deployment, parameters=given)
    client.set_flow_run_state(run.id, Pending())
    run_flow(train, flow_run=client.read_flow_run(run.id), parameters=run.parameters, return_type="state")
    return client.read_flow_run(run.id)


@pytest.mark.slow
def test_a_run_without_parameters_has_the_defaults(client: SyncPrefectClient, arrived: list[dict[str, Any]]) -> None:
    made_run(client, deployed({}), {})
    assert arrived == [{**DEFAULTS, "source": None, "device": "auto", "force": False, "others": (None, False)}]


@pytest.mark.slow
@pytest.mark.parametrize("field", ["hidden", "epochs", "seed"])
def test_one_changed_setting_keeps_the_deployments_others(
    field: str, client: SyncPrefectClient, arrived: list[dict[str, Any]]
) -> None:
    other: dict[str, Any] = {"hidden": [7], "epochs": 3, "seed": 9}
    ours = replace(PRESETS["default"], optimizer="sgd", epochs=11, dropout=0.25)
    kept = deployments.parameters("/patients", ours, EvaluationOptions(folds=3), Promotion(margin=0.5), "cpu")
    run = made_run(client, deployed(kept), {"recipe": {field: other[field]}})
    expected = RecipeOptions(**{**asdict(ours), field: other[field]})
    [its] = arrived
    assert its["recipe"] == expected
    assert (its["evaluation"], its["promotion"]) == (EvaluationOptions(folds=3), Promotion(margin=0.5))
    assert (its["source"], its["device"]) == ("/patients", "cpu")
    assert run.parameters["recipe"] == plain(expected)  # the page shows what the run did


@pytest.mark.slow
def test_a_run_with_a_value_that_is_not_allowed_ends_as_wrong_usage(
    client: SyncPrefectClient, arrived: list[dict[str, Any]]
) -> None:
    run = made_run(client, deployed({}), {"recipe": {"momentum": 0.9}})
    assert arrived == []
    assert states.outcome_of(run) == "WrongUsage"
    assert run.state
    assert run.state.message == "parameter recipe: momentum (=0.9) belongs to sgd and gd; adam has its own"
    assert run.name == "cleveland: parameters that are not allowed"
