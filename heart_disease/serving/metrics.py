"""What Prometheus reads at /metrics: how long requests took and how they ended, patients, the version that answers.

A refusal is a request whose status is 400 or higher: `heart_request_seconds_count{status=~"4..|5.."}`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heart_disease.serving.follower import Follower

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The numbers of one process."""

    def __init__(self, follower: Follower) -> None:
        self._follower, self._registry = follower, CollectorRegistry()
        self.seconds = Histogram(
            "heart_request_seconds", "Seconds from the end of a request's headers to the end of its answer.",
            ["path", "status"], buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        patients = Counter(
            "heart_patients", "Patients, by whether they got a probability or a problem.", ["answer"],
            registry=self._registry,
        )  # fmt: skip
        self._probability, self._problem = map(patients.labels, ("probability", "problem"))
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def collect(self) -> Iterator[Metric]:
        """The version that answers, and whether it is known to be the one to use."""
        now = self._follower.now
        about = {"name": now.ref.name, "version": now.ref.version, "since": now.since} if now else {}
        yield InfoMetricFamily("heart_model", "The version that answers; empty if there is none.", about)
        what = "1 if it is unknown whether there is a newer version, or the newer one cannot be used."
        yield GaugeMetricFamily("heart_model_stale", what, bool(self._follower.problem))

    def count(self, problems: Iterable[str]) -> None:
        """Count patients, by their problems."""
        refused = [problem != "" for problem in problems]
        self._problem.inc(sum(refused))
        self._probability.inc(len(refused) - sum(refused))

    def page(self) -> Response:
        """All of it, as Prometheus reads it."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class Measured:
    """An ASGI application around another one: it measures all requests, those too that are refused.

    paths: those that the application knows; any other counts as "other", so that nobody can make up a million of them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Iterable[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it answer, and note how long that took."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.seconds.labels(path, str(status)).observe(time.perf_counter() - started)
