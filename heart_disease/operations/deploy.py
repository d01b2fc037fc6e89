"""`python -m heart_disease.operations.deploy`: `prefect deploy --all`, and what people changed in Prefect's page stays.

By itself, `prefect deploy` (3.8) resumes what was paused, forgets parameters that were changed, and replaces schedules
that were added. Here they are read before, and put back after. The work pool is made only if there is none, because
making it again would resume it.

HEART_SOURCE, if it is set, is the file, folder or address of patients that the retraining reads, as the worker sees it.
HEART_MONITOR is the one that is compared, once a day, with what the champion learned from; as long as it was never
set, the schedule of `monitor` is paused. A variable that is no longer set changes nothing: the deployment reads what it
has read, until somebody changes that in Prefect's page.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import PurePosixPath

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from heart_disease.data.remote import addresses
from heart_disease.model.errors import UsageError
from heart_disease.operations import kept, reconciliation
from heart_disease.operations.deployments import MONITOR, OURS, PRUNE, RECONCILE, RETRAIN
from heart_disease.processes.told import told

POOL = "heart"


def main() -> None:
    """Deploy what prefect.yaml, in the working directory, declares.

    Raises:
        UsageError: a source is an address that cannot be used, such as one with a password, which Prefect would keep;
            or a path that depends on the worker's folder.
    """
    patients, new_patients = map(_source, ("HEART_SOURCE", "HEART_MONITOR"))
    with get_client(sync_client=True) as client:
        before = [found for name in (RETRAIN, RECONCILE, PRUNE, MONITOR) if (found := kept.find(client, name))]
        make_pool(client)
        subprocess.run([sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"], check=True)
        for one in before:
            _put_back(client, one)
        reconciliation.free_slots(client)
        if patients:
            retrain = client.read_deployment_by_name(RETRAIN)
            given = DeploymentUpdate(parameters={**retrain.parameters, "source": patients})
            client.update_deployment(retrain.id, given)
            print(f"{retrain.name}: reads {patients}")
        if new_patients:
            _watch(client, new_patients)


def make_pool(client: SyncPrefectClient) -> None:
    """Make the work pool that prefect.yaml names, if there is none."""
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template))


def _source(variable: str) -> str:
    """The source that an environment variable names; empty if none."""
    source = os.environ.get(variable, "")
    if addresses.is_remote(source):
        addresses.parse(source)
    elif source and not PurePosixPath(source).is_absolute():
        raise UsageError(
            f"{variable} is '{source}'; expected an address, or a path from the root as the worker sees it. With "
            "docker-compose.yml, HEART_FOLDER names a folder of this machine, which the worker sees as /patients."
        )
    return source


def _watch(client: SyncPrefectClient, source: str) -> None:
    """Let the monitor read `source`; the first time, its schedule is resumed."""
    found = client.read_deployment_by_name(MONITOR)
    if "source" not in found.parameters:
        for schedule in found.schedules:
            client.update_deployment_schedule(found.id, schedule.id, active=True)
    client.update_deployment(found.id, DeploymentUpdate(parameters={**found.parameters, "source": source}))
    print(f"{found.name}: reads {source}")


def _put_back(client: SyncPrefectClient, before: DeploymentResponse) -> None:
    """Give the deployment, which has just been made again, its pauses, added schedules and parameters of `before`."""
    now = client.read_deployment(before.id)
    schedules = kept.merged(before.schedules, [one for one in now.schedules if one.slug == OURS])
    update = DeploymentUpdate(
        paused=before.paused,
        parameters={**before.parameters, **now.parameters},
        schedules=[DeploymentScheduleUpdate(**one.model_dump()) for one in schedules],
        tags=sorted({*now.tags, *before.tags}),
    )
    client.update_deployment(before.id, update)
    if update.paused:
        print(f"{now.name} is still paused, as somebody left it in Prefect's page")
    for one in schedules:
        print(f"{now.name}: {kept.in_words(one)}")


if __name__ == "__main__":
    sys.exit(told(main))
