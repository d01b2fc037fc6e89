"""`heart schedule`: serve the deployments from this machine, with a Prefect server if none is configured."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner

from heart_disease.model.errors import HeartError, UnavailableError, UsageError
from heart_disease.operations import kept, missed, reconciliation
from heart_disease.operations.deployments import MONITOR, PRUNE, RECONCILE, RETRAIN, When
from heart_disease.operations.server import configured, own
from heart_disease.operations.server.server import ANYWHERE, Server
from heart_disease.operations.watch import Watch
from heart_disease.operations.worker import end_runs
from heart_disease.processes import tethered
from heart_disease.processes.loopback import HOST, check_free
from heart_disease.reporting.terminal import wrapped

log = logging.getLogger("heart")
POLL_SECONDS = 5  # seconds between two checks for runs that are due
LOOK_SECONDS = 2  # seconds between two checks of the watched source
END_SECONDS = 5  # seconds a run has to end by itself; the rest of the ten is for the server
SERVER_SECONDS = 2  # seconds the server has to end by itself
# Makes the deployments, the training's first. It is given the parameters that the training's deployment has so far.
Deploy = Callable[[Mapping[str, Any]], Sequence[RunnerDeployment]]


def run(deploy: Deploy, when: When, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM; the runs under way then end as crashed.

    Raises:
        UsageError: the schedule or a parameter makes no sense, or a work pool already runs the deployment.
        UnavailableError: the port is taken, or the server does not answer.
    """
    declared, *_ = deploy({})  # before a server starts, so that wrong usage is reported at once
    watch = Watch(when.on_data) if when.on_data is not None else None
    with _server(port) as server:
        server.wait()
        with _serving(deploy, server) as (served, look_after):
            page = server.url.removesuffix("/api")
            print(f"{RETRAIN}, one run at a time; a second one {when.if_running}s:")
            print("\n".join(wrapped(f"  {line}", indent="    ") for line in _in_words(served[0], declared, when)))
            print(f"{RECONCILE}, every hour{', paused in Prefect' * bool(served[1].paused)}")
            print(f"{PRUNE}, {_pruning(served[2])}")
            for made in served[3:]:
                print("\n".join([f"{MONITOR}:", *_monitoring(made)]))
            print(f"Prefect  {page}/deployments\nCtrl-C ends it.", flush=True)
            while True:
                look_after()
                if watch:
                    _look(watch)
                time.sleep(LOOK_SECONDS)


def _look(watch: Watch) -> None:
    digest = watch.look()
    if digest is None:
        return
    try:
        if watch.report(digest):
            log.info("data      %s has new content, digest %s", watch.source, digest[:8])
    except Exception as error:
        watch.digest = None  # the next look tries again
        log.warning("data      %s has new content; Prefect could not be told: %s", watch.source, error)


def _in_words(served: RunnerDeployment, declared: RunnerDeployment, when: When) -> list[str]:
    """A line for each thing that starts a run of the training, and for what is kept from before."""
    lines = [kept.in_words(one) for one in served.schedules or []]
    if when.on_data is not None:
        off = not all(trigger.enabled for trigger in kept.event_triggers(served))
        lines.append(f"when {when.on_data} changes{'; its automation is paused in Prefect' * off}")
    lines.append("heart retrain --on-server, or Run in Prefect's page")
    if served.paused:
        lines.append("PAUSED in Prefect: no schedule starts a run until you resume the deployment in Prefect's page")
    changed = kept.differences(served.parameters, declared.parameters)
    if changed:
        lines.append(f"kept from before, because no option sets it here: {', '.join(changed)}")
    return lines


def _pruning(served: RunnerDeployment) -> str:
    """When old runs are deleted."""
    if served.paused or not any(one.active for one in served.schedules or []):
        return "off until you resume its schedule in Prefect"
    return "; ".join(kept.in_words(one) for one in served.schedules or [])


def _monitoring(served: RunnerDeployment) -> list[str]:
    """One line for the source that is compared with what the champion learned from, and one for each schedule."""
    copy = f", as the copy {served.parameters['read_as']}" if served.parameters.get("read_as") else ""
    lines = [
        f"  reads {served.parameters['source']}{copy}",
        *(f"  {kept.in_words(one)}" for one in served.schedules or []),
    ]
    return [*lines, *["  PAUSED in Prefect"] * bool(served.paused)]


def _deployed(deploy: Deploy) -> Sequence[RunnerDeployment]:
    """The deployments, with what people have changed in Prefect's page.

    Raises:
        UsageError: a work pool already runs the training's deployment.
    """
    with get_client(sync_client=True) as client:
        training = kept.find(client, RETRAIN)
        if training and training.work_pool_name:
            pool = training.work_pool_name
            raise UsageError(
                f"the work pool '{pool}' runs {RETRAIN} on this server; start a worker with `python -m "
                f"heart_disease.operations.worker --pool {pool}`, or take it out of the pool with `prefect deployment "
                f"delete {RETRAIN}`"
            )
        served = deploy(training.parameters if training else {})
        for made in served:
            before = kept.find(client, made.full_name)
            if before:
                kept.keep(client, made, before)
                if made.full_name != RETRAIN:  # what an option sets is in `made`, for the others only the monitor's
                    made.parameters = {**before.parameters, **made.parameters}
        _end_monitoring(client, [made.full_name for made in served])
    return served


def _end_monitoring(client: SyncPrefectClient, served: Sequence[str]) -> None:
    """Delete the monitor's deployment, of an earlier `heart schedule`, if nobody would take its runs any more."""
    before = kept.find(client, MONITOR)
    if before and MONITOR not in served and not before.work_pool_name:
        client.delete_deployment(before.id)
        log.info("%s is deleted, because there is no --monitor; it read %s", MONITOR, before.parameters.get("source"))


@contextmanager
def _server(port: int) -> Iterator[Server]:
    """The configured server; without one, a full server, because an ephemeral one schedules nothing."""
    address = configured.address()
    if address:
        yield Server(address)
        return
    url = f"http://{HOST}:{port}/api"
    command = ("prefect", "server", "start", "--host", HOST, "--port", str(port))
    with tempfile.TemporaryFile() as output, own.prefect_settings(url), ExitStack() as processes:

        def start() -> subprocess.Popen[bytes]:
            _check_free(port, url)  # if another server has taken it, ours would end again and again
            processes.close()
            output.seek(0)
            output.truncate()  # the last words of a server that has ended are not those of the next
            return processes.enter_context(
                tethered.running(
                    *command, env=own.prefect_page(url), output=output, patience=SERVER_SECONDS, folder=ANYWHERE
                )
            )

        yield Server(url, start(), output, start)


def _check_free(port: int, url: str) -> None:
    """Refuse a port that is taken. url: of the API that would be there."""
    try:
        check_free(port, "Prefect's server", "--port")
    except UnavailableError as error:
        if configured.is_api(url):
            raise UnavailableError(f"{error}; or use that Prefect server: export PREFECT_API_URL={url}") from error
        raise


@contextmanager
def _serving(deploy: Deploy, server: Server) -> Iterator[tuple[Sequence[RunnerDeployment], Callable[[], None]]]:
    """Start what is due until the end of the block; call the yielded `look_after` every now and then.

    `look_after` starts a server of our own again if it has ended. If a server stays away long, Prefect's runner ends;
    it is started again when the server is back.
    """
    current = _Runner(deploy)

    def look_after() -> None:
        nonlocal current
        if server.ended():
            log.warning("          Prefect's server has ended; it is started again")
            server.start_again()
            server.wait()  # raises an error that says why it cannot start
        if not current.thread.is_alive() and server.answers():
            with suppress(UnavailableError):  # the server has gone again; the next call tries again
                current = _Runner(deploy)
                log.warning("          Prefect's server was away for a while; serving again")

    try:
        yield current.served, look_after
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # one signal is enough, and the rest takes seconds
        current.stop(spare=server.process.pid if server.process else None)


def _close_what_is_left() -> None:
    """Free places that nobody holds; let a run of the reconciliation close what an earlier process has left open."""
    with get_client(sync_client=True) as client:
        reconciliation.free_slots(client)
        if reconciliation.any_open(client):
            client.create_flow_run_from_deployment(client.read_deployment_by_name(RECONCILE).id)


class _Runner:
    """Prefect's runner of deployments, in a thread, so that signals go to the main thread.

    Raises:
        UsageError: a work pool already runs the training's deployment.
        UnavailableError: the server did not accept the deployments.
    """

    def __init__(self, deploy: Deploy) -> None:
        self.runner = Runner(name="heart", pause_on_shutdown=False, query_seconds=POLL_SECONDS)
        self.served: Sequence[RunnerDeployment] = []
        self.problem: BaseException | None = None
        self._ready = threading.Event()
        self.thread = threading.Thread(target=contextvars.copy_context().run, args=(self._run, deploy), daemon=True)
        self.thread.start()
        self._ready.wait()
        if isinstance(self.problem, HeartError):
            raise self.problem
        if self.problem:
            raise UnavailableError(f"the Prefect server did not take the deployments: {self.problem}")

    def _run(self, deploy: Deploy) -> None:
        # Ctrl-C reaches all of the terminal's processes. The runs inherit this mask and get one SIGTERM instead.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

        async def main() -> None:
            for deployment in self.served:
                missed.make_up(await self.runner.aadd_deployment(deployment))
            _close_what_is_left()
            self._ready.set()
            await self.runner.start()

        try:
            self.served = _deployed(deploy)
            asyncio.run(main())
        except BaseException as error:  # __init__ reports it
            self.problem = error
        finally:
            self._ready.set()

    def stop(self, spare: int | None) -> None:
        """End its runs with SIGTERM, and kill those that do not end in time. spare: the server's process."""
        end_runs(psutil.Process(), END_SECONDS, spare)
        with suppress(Exception):  # it has not started, or the server is away: nothing more can be done
            self.runner.execute_in_background(self.runner.astop).result(timeout=1)
        self.thread.join(timeout=1)
