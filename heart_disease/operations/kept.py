"""What people changed in Prefect's page stays when a deployment is made again: pauses, parameters, schedules, tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound

from heart_disease.operations.deployments import OURS, interval_in_words


def find(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    """The deployment FLOW/NAME, if the server has it."""
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def keep(client: SyncPrefectClient, made: RunnerDeployment, before: DeploymentResponse) -> None:
    """Give a deployment that is made again the pauses, tags and schedules that the server has.

    `made.parameters` are left alone: whoever made it has put what the command line gives over those of `before`.
    """
    made.paused = before.paused
    made.tags = sorted({*made.tags, *before.tags})
    schedules = merged(before.schedules, made.schedules or [])
    for gone in before.schedules:
        # If each schedule has a slug, Prefect changes the schedules that it is given, and leaves the others alone.
        if gone.slug and gone.slug not in [one.slug for one in schedules]:
            client.delete_deployment_schedule(before.id, gone.id)
    made.schedules = list(schedules)
    enabled = {
        one.name: one.enabled for one in client.read_resource_related_automations(f"prefect.deployment.{before.id}")
    }
    for trigger in event_triggers(made):
        trigger.enabled = enabled.get(trigger.name or "", True)


def event_triggers(made: RunnerDeployment) -> list[DeploymentEventTrigger]:
    """What starts a run of the deployment when a file changes."""
    return [one for one in made.triggers if isinstance(one, DeploymentEventTrigger)]


def merged(before: Iterable[DeploymentSchedule], given: Iterable[Any]) -> list[DeploymentScheduleCreate]:
    """The given schedule, paused if it was paused before, and those that were added in the page."""
    before, given = list(before), list(given)
    made = []
    for one in given:
        slug = one.slug or OURS
        same = [old for old in before if old.slug == slug or old.schedule == one.schedule]
        before = [old for old in before if old not in same]
        active = all(old.active for old in same) if same else one.active
        made.append(DeploymentScheduleCreate(schedule=one.schedule, active=active, slug=slug))
    for old in before:
        if old.slug != OURS:
            slug = old.slug or f"page-{str(old.id)[-8:]}"  # Prefect takes either a slug for each schedule, or none
            made.append(
                DeploymentScheduleCreate(schedule=old.schedule, active=old.active, parameters=old.parameters, slug=slug)
            )
    return made


def in_words(schedule: Any) -> str:
    """``cron 0 6 * * 1, UTC``, and whether it is paused or from the page."""
    when = schedule.schedule
    zone = when.timezone or "UTC"
    if isinstance(when, CronSchedule):
        text = f"cron {when.cron}, {zone}"
    elif isinstance(when, IntervalSchedule):
        text = f"every {interval_in_words(when.interval)}, {zone}"
    else:
        text = f"{when.rrule}, {zone}"
    notes = ["added in Prefect's page"] * (schedule.slug != OURS) + ["paused in Prefect's page"] * (not schedule.active)
    return f"{text} ({'; '.join(notes)})" if notes else text


def differences(now: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> list[str]:
    """``recipe.epochs 100``, for each of the parameters `now` that is not as in `given`."""
    lines: list[str] = []
    for name, value in now.items():
        other = given.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            lines += differences(value, other, f"{prefix}{name}.")
        elif value != other:
            lines.append(f"{prefix}{name} {_shown(value)}")
    return lines


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
