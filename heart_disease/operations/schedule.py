"""`heart schedule`: serve the deployments from this machine, with a Prefect server if none is configured."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from heart_disease.model.errors import UnavailableError, UsageError
from heart_disease.operations import missed
from heart_disease.operations.deployments import RECONCILE, RETRAIN, When
from heart_disease.operations.server.server import Server, problem_of, with_page
from heart_disease.operations.watch import Watch
from heart_disease.operations.worker import end_runs
from heart_disease.processes import tethered

log = logging.getLogger("heart")
POLL_SECONDS = 5  # seconds between two checks for runs that are due
LOOK_SECONDS = 2  # seconds between two checks of the watched file
HOST = "127.0.0.1"
END_SECONDS = 5  # seconds a run has to end by itself; the rest of the ten is for the server
SERVER_SECONDS = 2  # seconds the server has to end by itself


def run(served: Sequence[RunnerDeployment], when: When, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM; the runs under way then end as crashed.

    Raises:
        UsageError: a work pool already runs the deployment.
        UnavailableError: the port is taken, or the server does not answer.
    """
    watch = Watch(Path(when.on_data)) if when.on_data is not None else None
    with _server(port) as server:
        server.wait()
        _check_not_in_a_pool()
        page = server.url.removesuffix("/api")
        with _serving(served, server) as look_after:
            print(f"{RETRAIN}, one run at a time; a second one {when.if_running}s:")
            print("\n".join(f"  {line}" for line in when.in_words()))
            print(f"{RECONCILE}, every hour")
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
            log.info("data      %s has new content, digest %s", watch.path, digest[:8])
    except Exception as error:
        watch.digest = None  # so that the next look tries again
        log.warning("data      %s has new content; Prefect could not be told: %s", watch.path, error)


def _check_not_in_a_pool() -> None:
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        pool = client.read_deployment_by_name(RETRAIN).work_pool_name
        if pool:
            raise UsageError(
                f"the work pool '{pool}' runs {RETRAIN} on this server; start a worker with `prefect worker start "
                f"--pool {pool}`, or take it out of the pool with `prefect deployment delete {RETRAIN}`"
            )


@contextmanager
def _server(port: int) -> Iterator[Server]:
    """The configured server; without one, a full server, because an ephemeral one schedules nothing."""
    configured = get_current_settings().api.url
    if configured:
        yield Server(configured.rstrip("/"))
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise UnavailableError(
                f"port {port} cannot be used for Prefect's server: {error}. Name another with --port; or, if that is "
                f"a Prefect server, use it: export PREFECT_API_URL=http://{HOST}:{port}/api"
            ) from error
    url = f"http://{HOST}:{port}/api"
    command = ("prefect", "server", "start", "--host", HOST, "--port", str(port))
    with (
        tempfile.TemporaryFile() as output,
        tethered.running(*command, env=with_page(url), output=output, patience=SERVER_SECONDS) as process,
        temporary_settings({PREFECT_API_URL: url}),
    ):
        yield Server(url, process, output)


@contextmanager
def _serving(served: Sequence[RunnerDeployment], server: Server) -> Iterator[Callable[[], None]]:
    """Start what is due until the end of the block; call the yielded `look_after` every now and then.

    If the server stays away long, Prefect's runner ends; `look_after` starts it again when the server is back.
    """
    current = _Runner(served)

    def look_after() -> None:
        nonlocal current
        if server.process and server.process.poll() is not None:
            server.wait()  # raises an error that says why it ended
        if not current.thread.is_alive() and not problem_of(f"{server.url}/health"):
            with suppress(UnavailableError):  # the server has gone again; the next call tries again
                current = _Runner(served)
                log.warning("          Prefect's server was away for a while; serving again")

    try:
        yield look_after
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # one signal is enough, and the rest takes seconds
        current.stop(spare=server.process.pid if server.process else None)


class _Runner:
    """Prefect's runner of deployments, in a thread, so that signals go to the main thread.

    Raises:
        UnavailableError: the server did not accept the deployments.
    """

    def __init__(self, served: Sequence[RunnerDeployment]) -> None:
        self.runner = Runner(name="heart", pause_on_shutdown=False, query_seconds=POLL_SECONDS)
        self.problem: BaseException | None = None
        self._ready = threading.Event()
        self.thread = threading.Thread(target=contextvars.copy_context().run, args=(self._run, served), daemon=True)
        self.thread.start()
        self._ready.wait()
        if self.problem:
            raise UnavailableError(f"the Prefect server did not take the deployments: {self.problem}")

    def _run(self, served: Sequence[RunnerDeployment]) -> None:
        # Ctrl-C reaches all of the terminal's processes. The runs inherit this mask and get one SIGTERM instead.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

        async def main() -> None:
            for deployment in served:
                missed.make_up(await self.runner.aadd_deployment(deployment))
            self._ready.set()
            await self.runner.start()

        try:
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
