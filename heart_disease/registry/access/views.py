"""What MLflow's page shows of an experiment if somebody opens a saved view, and the colours of its runs.

Without a view the page's table shows no metric and no parameter, and its charts show a bar for the end of each metric
before the first curve. A view is a tag of the experiment, in the page's own format; a later page leaves out of its
list a view that it does not understand.
"""

from __future__ import annotations

import colorsys
import json
import time
from collections.abc import Sequence

import mlflow
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from heart_disease.registry.access.store import EXPERIMENT, TRAINING, Run, reachable

COLOUR = "mlflow.runColor"  # tag of a run
TAG = "mlflow.sharedViewState."  # of an experiment; what follows tells its views apart
OWN = "trainings"
SEARCH, TRAININGS = "Newest search, best first", "Trainings, newest first"
# As evaluation/estimates.py and contest.py call them; to import those would take scikit-learn.
METRICS = ("log_loss", "log_loss_low", "log_loss_high", "log_loss_minus/champion", "log_loss_minus/logistic_regression")
PARAMS = ("hidden", "epochs", "weight_decay", "without", "members", "sensitivity")
TAGS = ("promoted", "verdict/champion", "verdict/logistic_regression", "verdict/groups")
FOLDED = ("Model metrics", "accuracy", "accuracy_std", "champion", "log_loss_minus", "logistic_regression", "loss_std",
          "prevalence", "all_columns")  # fmt: skip


def colour(number: int) -> str:
    """A colour for a run's curves, unlike those of the numbers before it; MLflow often gives two runs the same one."""
    rgb = colorsys.hls_to_rgb(number * 0.618 % 1, 0.42, 0.75)  # golden section: never near a recent hue
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


@reachable()
def training_url(where: str) -> str:
    """The page of this project's trainings on the MLflow at the address `where`; of all experiments before the first.

    Raises:
        UnavailableError: the store does not answer.
    """
    found = mlflow.MlflowClient().get_experiment_by_name(EXPERIMENT)
    if not found:
        return f"{where}/#/experiments?{TRAINING}"
    view = f"&viewStateShareKey={OWN}" if f"{TAG}{OWN}" in found.tags else ""
    return f"{where}/#/experiments/{found.experiment_id}/runs?{TRAINING}{view}"


@reachable()
def save_trainings_view(run: Run) -> None:
    """Save the view of the experiment of `run`: log loss with its ends, the verdict, what differs, the curves first."""
    columns = [f"metrics.`{name}`" for name in METRICS] + [f"params.`{name}`" for name in PARAMS]
    columns += [f"tags.`{name}`" for name in TAGS]
    curves = [_section("loss", True), *(_section(name, False) for name in FOLDED)]
    # Without a list of charts the page unfolds all sections, and unless they were reordered it sorts them by name.
    charts = {"compareRunCharts": [], "compareRunSections": curves, "isAccordionReordered": True}
    _save(run, OWN, TRAININGS, _state(columns, "attributes.start_time", ascending=False) | charts)


@reachable()
def save_view(
    run: Run, metrics: Sequence[str], params: Sequence[str], tags: Sequence[str], axes: Sequence[str]
) -> None:
    """Save the view of a search: these columns, the lowest first metric on top, and charts.

    The charts show how `axes`, which are parameters, lead to the first metric, above the curves of the best. The view
    replaces that of the search before.
    """
    columns = [f"metrics.`{name}`" for name in metrics] + [f"params.`{name}`" for name in params]
    parallel = {
        "uuid": "parallel", "type": "PARALLEL", "metricSectionId": "configurations", "displayName": "",
        "selectedParams": list(axes), "selectedMetrics": [metrics[0]], "showAllRuns": True,
        "deleted": False, "isGenerated": False,
    }  # fmt: skip
    charts = {
        "compareRunCharts": [parallel],
        "compareRunSections": [
            _section("configurations", True) | {"columns": 1}, _section("loss", True), _section("Model metrics", False),
        ],
    }  # fmt: skip
    state = _state(columns + [f"tags.`{name}`" for name in tags], columns[0], ascending=True) | charts
    below = f"tags.{MLFLOW_PARENT_RUN_ID} = '{run.run_id}'"
    _save(run, "newest", SEARCH, state | {"searchFilter": below})


def _state(columns: Sequence[str], order: str, *, ascending: bool) -> dict[str, object]:
    return {
        "searchFilter": "",
        "orderByKey": order,
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
    }


def _section(name: str, unfolded: bool) -> dict[str, object]:
    """A section of the charts, to which the page adds a chart for each metric that has its name before the slash."""
    return {"name": name, "display": unfolded, "uuid": name, "isReordered": False}


def _save(run: Run, key: str, name: str, state: dict[str, object]) -> None:
    now = int(time.time() * 1000)
    view = {"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    mlflow.MlflowClient().set_experiment_tag(run.experiment_id, f"{TAG}{key}", json.dumps(view))
