"""Deployments: the flows that a Prefect server starts on a schedule, on new data, or when somebody asks.

`heart schedule` serves them from this machine; `prefect.yaml` deploys the same to a work pool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.schedules import Cron, Interval, Schedule
from prefect.types.entrypoint import EntrypointType

from heart_disease.data.remote import addresses
from heart_disease.evaluation.settings import EvaluationOptions, Promotion
from heart_disease.model.errors import UsageError
from heart_disease.training.recipe import RecipeOptions

RETRAIN = "heart-disease-train/retrain"
RECONCILE = "heart-disease-reconcile/reconcile"
PRUNE = "heart-disease-prune/prune"
MONITOR = "heart-disease-monitor/monitor"
DATA_CHANGED = "heart.data.changed"
OURS = "heart"  # the slug of the schedule that `heart schedule` or prefect.yaml sets; people add others in the page
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
IF_RUNNING = {"wait": ConcurrencyLimitStrategy.ENQUEUE, "skip": ConcurrencyLimitStrategy.CANCEL_NEW}
SUNDAYS = "0 3 * * 0"  # old runs are pruned then, UTC
DAILY = "0 5 * * *"  # new patients are compared with the champion's then, UTC
ANCHOR = datetime(2020, 1, 6, tzinfo=UTC)  # a Monday; fixed, so that an interval means the same times after a restart


@dataclass(frozen=True)
class When:
    """When the retraining runs by itself.

    cron, every: "0 6 * * 1" or "6h", at most one of them. timezone: the time zone of either. on_data: a source; each
        new content starts a run. if_running: what a second run does.
    """

    cron: str | None = None
    every: str | None = None
    timezone: str = "UTC"
    on_data: str | None = None
    if_running: Literal["wait", "skip"] = "wait"

    def schedule(self) -> Schedule | None:
        """The schedule for Prefect; None if no time is set.

        Raises:
            UsageError: the time zone, cron or interval makes no sense.
        """
        try:
            zone = ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UsageError(
                f"--timezone {self.timezone}: no such time zone; expected a name such as UTC or Europe/Berlin"
            ) from error
        if self.cron is not None:
            try:
                return Cron(self.cron, timezone=self.timezone, slug=OURS)
            except ValueError as error:
                raise UsageError(
                    f"--cron '{self.cron}': expected minute, hour, day, month and day of the week, such as '0 6 * * 1' "
                    "for Mondays at 6"
                ) from error
        if self.every is not None:
            anchor = ANCHOR.replace(tzinfo=zone)
            return Interval(interval(self.every), anchor_date=anchor, timezone=self.timezone, slug=OURS)
        return None


def interval(text: str, option: str = "--every") -> timedelta:
    """``6h`` -> 6 hours. option: the option that gave it, for the message.

    Raises:
        UsageError: it is not an interval, or it is zero.
    """
    found = re.fullmatch("([0-9]{1,4})([mhdw])", text)
    if not found or not int(found[1]):
        raise UsageError(f"{option} {text}: expected a number and m, h, d or w, such as 30m, 6h, 1d or 2w")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def interval_in_words(every: timedelta) -> str:
    """6 hours -> ``6h``, in the largest unit that leaves no rest."""
    for unit in reversed(UNITS):
        count, rest = divmod(every, timedelta(**{UNITS[unit]: 1}))
        if not rest:
            return f"{count}{unit}"
    return f"{every.total_seconds():g} s"


def parameters(
    source: str | None,
    recipe: RecipeOptions,
    evaluation: EvaluationOptions,
    promotion: Promotion,
    device: str,
    force: bool = False,
    read_as: str | None = None,
    landscape: bool = False,
) -> dict[str, Any]:
    """The training flow's parameters for JSON. A file is given by its full path, because another process reads it.

    Raises:
        UsageError: the source is an address that cannot be used.
    """
    return {
        "source": addresses.absolute(source) if source else None,
        "recipe": asdict(recipe),
        "evaluation": asdict(evaluation),
        "promotion": asdict(promotion),
        "device": device,
        "force": force,
        "read_as": read_as,
        "landscape": landscape,
    }


def data_resource(path: str) -> str:
    """The name of a watched source in Prefect's events."""
    return f"heart.data.{addresses.absolute(path)}"


def retrain(flow: Flow[..., Any], when: When, given: Mapping[str, Any]) -> RunnerDeployment:
    """The training flow with these parameters, one run at a time.

    Raises:
        UsageError: the schedule makes no sense.
    """
    schedule = when.schedule()
    triggers = []
    if when.on_data is not None:
        trigger = DeploymentEventTrigger(
            name=f"retrain when {addresses.name(when.on_data)} changes",
            expect={DATA_CHANGED},
            match={"prefect.resource.id": data_resource(when.on_data)},
            parameters={"source": addresses.absolute(when.on_data)},
        )
        triggers.append(trigger)
    made = flow.to_deployment(
        name="retrain",
        schedules=[schedule] if schedule else [],
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=IF_RUNNING[when.if_running]),
        parameters=dict(given),
        triggers=list(triggers),
        tags=["heart"],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)  # not a coroutine, because nothing here is asynchronous
    return made


def reconcile(flow: Flow[..., Any]) -> RunnerDeployment:
    """The flow that closes orphaned runs, once an hour; it has no limit that a stranded run of it could exhaust."""
    made = flow.to_deployment(
        name="reconcile",
        schedules=[Interval(timedelta(hours=1), anchor_date=ANCHOR, slug=OURS)],
        tags=["heart"],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made


def prune(flow: Flow[..., Any]) -> RunnerDeployment:
    """The flow that deletes old runs, once a week; its schedule is paused until somebody resumes it in the page."""
    made = flow.to_deployment(
        name="prune",
        schedules=[Cron(SUNDAYS, timezone="UTC", active=False, slug=OURS)],
        tags=["heart"],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made


def monitor(flow: Flow[..., Any], source: str, read_as: str | None = None) -> RunnerDeployment:
    """The flow that compares the patients of `source` with those that the champion learned from, once a day.

    read_as: the copy whose codes the source has; None leaves what the deployment had before.
    """
    made = flow.to_deployment(
        name="monitor",
        schedules=[Cron(DAILY, timezone="UTC", slug=OURS)],
        parameters={"source": addresses.absolute(source)} | ({"read_as": read_as} if read_as else {}),
        tags=["heart"],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made
