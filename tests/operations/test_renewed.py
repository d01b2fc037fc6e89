"""A run under way renews the lease of its place often, and while the server is away it tries again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError

from heart_disease.operations import slots
from tests.harness.waiting import wait_for

REQUEST = httpx.Request("POST", "http://127.0.0.1:9/api")
AWAY = httpx.ConnectError("nobody listens")
GONE = PrefectHTTPStatusError("gone", request=REQUEST, response=httpx.Response(410, request=REQUEST))


class Server:
    """A client of a server that answers the renewals in turn with these errors, and then with success."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.asked = list(errors), 0

    def renew_concurrency_lease(self, lease: UUID, seconds: float) -> None:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the current flow run hold this lease, on this server."""

    def hold(server: Server, lease: UUID | None) -> None:
        @contextmanager
        def client(**_: Any) -> Iterator[Server]:
            yield server

        details = SimpleNamespace(deployment_concurrency_lease_id=lease)
        run = SimpleNamespace(state=SimpleNamespace(state_details=details))
        monkeypatch.setattr(slots, "get_client", client)
        monkeypatch.setattr(slots.FlowRunContext, "get", lambda: SimpleNamespace(flow_run=run))
        monkeypatch.setattr(slots, "RENEW_SECONDS", 0.01)
        monkeypatch.setattr(slots, "AGAIN_SECONDS", 0.01)

    return hold


def test_a_renewal_that_fails_is_tried_again(run_with: Any) -> None:
    server = Server(AWAY, AWAY)
    run_with(server, uuid4())
    with slots.renewed():
        wait_for(lambda: server.asked > 4)


def test_a_lease_that_is_gone_is_not_asked_for_again(run_with: Any) -> None:
    server = Server(GONE, AssertionError())
    run_with(server, uuid4())
    slots._renew(uuid4(), threading.Event())  # what `renewed` does in a thread: it ends by itself
    assert server.asked == 1


def test_a_run_without_a_lease_renews_nothing(run_with: Any) -> None:
    server = Server(AssertionError())
    run_with(server, None)
    with slots.renewed():
        pass
    assert server.asked == 0
