"""What Prefect's server reports when nothing happens: no retrain has ended in time, or nothing takes the runs.

The server looks by itself, so this works while every worker is off. Both are told once per silence: the next end of a
retrain, or the next worker, starts the clock again, also if the server was down in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from prefect.client.schemas.objects import DeploymentStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import Event, RelatedResource, Resource
from prefect.events.clients import get_events_client
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.types import DateTime
from pydantic import TypeAdapter

WATCHED = "heart.silence.watched"  # our own event, from which the first silence is measured
# It is sent if nothing asks for the runs when the watch begins, because Prefect tells only when that changes.
UNASKED = "heart.silence.unasked"
# A cancelled run is no sign of life: each second run is cancelled (--if-running skip) while one hangs.
ENDS = {f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "TimedOut", "Crashed")}
# Prefect calls a deployment not ready if nothing has asked for its runs for a minute. After a restart of everything,
# the server says so before the first worker can ask, so another two minutes are given.
UNSERVED = timedelta(minutes=2)
DATES = 200  # dates of a schedule among which the longest interval is looked for

SINCE = "{{ event.occurred.strftime('%Y-%m-%d %H:%M') }} UTC"
NOBODY = (
    "Nothing takes its runs: {% if deployment.work_pool_name %}no worker of the work pool "
    "'{{ deployment.work_pool_name }}' is up{% else %}`heart schedule` is not running{% endif %}."
)
# The likeliest cause comes first. Each is read when the message is written.
CAUSE = (
    "{% if not deployment %}The deployment has been deleted."
    "{% elif deployment.paused %}The deployment is paused."
    "{% elif work_pool.is_paused %}The work pool '{{ work_pool.name }}' is paused."
    f"{{% elif deployment.status == 'NOT_READY' %}}{NOBODY}"
    "{% elif deployment.global_concurrency_limit.active_slots %}A run holds the deployment's only slot: it takes long, "
    "or it is stuck."
    "{% elif not deployment.schedules | selectattr('active') | list %}No schedule of the deployment is active."
    "{% else %}The cause cannot be told from here: see the runs of the deployment.{% endif %}"
)
SILENT = f"No retrain has ended since {SINCE}. {CAUSE}"


def usual(deployment: DeploymentResponse, now: datetime | None = None) -> timedelta | None:
    """Twice the longest interval of the active schedule that runs most often; None if no schedule is active."""
    start = DateTime.fromtimestamp((now or datetime.now(UTC)).timestamp(), UTC)
    longest = []
    for one in deployment.schedules:
        if one.active:
            adapter: TypeAdapter[CronSchedule | IntervalSchedule | RRuleSchedule] = TypeAdapter(
                CronSchedule | IntervalSchedule | RRuleSchedule
            )
            schedule = adapter.validate_python(one.schedule.model_dump())
            dates = asyncio.run(schedule.get_dates(DATES, start))
            # These are times on the wall clock, so a day has 24 hours even when the clocks change.
            times = [datetime.fromisoformat(date.isoformat()).replace(tzinfo=None) for date in dates]
            longest += [max(gaps)] if (gaps := [later - sooner for sooner, later in pairwise(times)]) else []
    return 2 * min(longest) if longest else None


def silent(deployment: DeploymentResponse, limit: timedelta) -> EventTrigger:
    """Fires if no run of the deployment has ended for this long."""
    return EventTrigger(
        after={WATCHED, *ENDS},
        expect=ENDS,
        match_related=ResourceSpecification(
            {"prefect.resource.role": "deployment", "prefect.resource.id": _resource(deployment)}
        ),
        for_each={"related:deployment:prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=limit,
    )


def unserved(deployment: DeploymentResponse) -> EventTrigger:
    """Fires if nothing asks for the deployment's runs: no worker is up, or `heart schedule` does not run."""
    return EventTrigger(
        after={"prefect.deployment.not-ready", UNASKED},
        expect={"prefect.deployment.ready"},
        match=ResourceSpecification({"prefect.resource.id": _resource(deployment)}),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=UNSERVED,
    )


def start_clocks(deployment: DeploymentResponse) -> None:
    """Measure both from now on, because no run of the deployment may ever end, and nothing may ever ask for one."""
    its = Resource({"prefect.resource.id": f"heart.silence.{deployment.id}"})
    related = [RelatedResource({"prefect.resource.id": _resource(deployment), "prefect.resource.role": "deployment"})]
    events = [Event(event=WATCHED, resource=its, related=related)]
    if deployment.status == DeploymentStatus.NOT_READY:
        events.append(Event(event=UNASKED, resource=Resource({"prefect.resource.id": _resource(deployment)})))
    asyncio.run(_emit(events))


async def _emit(events: Sequence[Event]) -> None:
    async with get_events_client(checkpoint_every=1) as client:  # the events have arrived when this returns
        for event in events:
            await client.emit(event)


def _resource(deployment: DeploymentResponse) -> str:
    return f"prefect.deployment.{deployment.id}"
