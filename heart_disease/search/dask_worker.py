"""What a Dask worker is told before a sweep sends it batches. Needs the extra [dask]."""

from __future__ import annotations

from typing import Any

from distributed import WorkerPlugin
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker


class ReportTo(WorkerPlugin):
    """Where to report task runs: a Prefect server on `url`.

    Prefect has one reporter per process, tied to the server of the first flow that the process worked for. A worker
    outlives a sweep and its embedded server, and the next sweep's server has another port.
    """

    name = "heart-disease-sweep"

    def __init__(self, url: str) -> None:
        self.url = url

    def setup(self, worker: Any) -> None:
        """Report to the server, on every worker, including those that come later."""
        EventsWorker.set_client_override(PrefectEventsClient, api_url=self.url)

    def teardown(self, worker: Any) -> None:
        """Forget the server when the sweep has ended."""
        EventsWorker.set_client_override(None)
