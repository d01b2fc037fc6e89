"""Ports of this machine: no client asks a proxy for them, and an error says who has one."""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
import requests
from prefect.settings import PREFECT_API_URL, temporary_settings

from heart_disease.model.errors import UnavailableError, UsageError
from heart_disease.operations.server.server import problem_of
from heart_disease.processes import loopback
from tests.harness.command import heart, one_line

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture
def url() -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer((loopback.HOST, 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize(
    "ask",
    [
        lambda url: httpx.get(url).raise_for_status(),  # Prefect's client
        lambda url: requests.get(url, timeout=60).raise_for_status(),  # MLflow's
        lambda url: urllib.request.urlopen(url, timeout=60).close(),
    ],
    ids=["httpx", "requests", "urllib"],
)
def test_no_client_asks_a_proxy_for_this_machine(
    ask: Callable[[str], None], name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (*PROXIES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("NO_PROXY", "example.org")
    loopback.spare_from_proxies()
    ask(url)
    ask(url.replace("127.0.0.1", "localhost"))


def test_an_embedded_server_is_asked_without_a_proxy_in_any_process(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert problem_of(url) == ""


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ("", "", "127.0.0.1,localhost,::1"),
        ("a.org, b.org", "c.org", "a.org,b.org,c.org,127.0.0.1,localhost,::1"),
        ("localhost", "127.0.0.1", "localhost,127.0.0.1,::1"),
        ("", "*", "*"),
    ],
)
def test_exceptions_that_are_set_stay(lower: str, upper: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", lower)
    monkeypatch.setenv("NO_PROXY", upper)
    loopback.spare_from_proxies()
    loopback.spare_from_proxies()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == expected


def test_every_command_spares_this_machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "example.org")
    assert heart("check", "nowhere.csv") == 3
    assert "127.0.0.1" in os.environ["no_proxy"]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((loopback.HOST, 0)) as listener:
        yield listener.getsockname()[1]


def test_an_error_says_which_port_is_taken_and_by_what(taken: int) -> None:
    with pytest.raises(UnavailableError) as caught:
        loopback.check_free(taken, "Prefect's page", "--prefect-port")
    said = str(caught.value)
    assert said.startswith(f"port {taken}, for Prefect's page, cannot be used: Address already in use by process ")
    assert f"process {os.getpid()}, " in said
    assert said.endswith("Name another with --prefect-port")


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="expected 1 to 65535"):
        loopback.check_free(port, "Prefect's page", "--prefect-port")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["ui", "--mlflow-port"], "port {port}, for MLflow's page,"),
        (["ui", "--mlflow-port", "{free}", "--prefect-port"], "port {port}, for Prefect's page,"),
        pytest.param(["schedule", "--port"], "port {port}, for Prefect's server,", marks=pytest.mark.slow),
        (["serve", "--port"], "cannot listen on 127.0.0.1:{port}:"),
    ],
)
def test_a_server_names_a_taken_port_before_it_starts(
    arguments: list[str], what: str, taken: int, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [one.format(free=loopback.free_port()) for one in arguments]
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert heart(*given, str(taken)) == 4
    out, err = capsys.readouterr()
    assert what.format(port=taken) in one_line(err)
    assert f"Address already in use by process {os.getpid()}" in one_line(err)
    assert "PREFECT_API_URL" not in err  # what has the port is no Prefect server
    assert out == ""


def test_both_pages_on_one_port_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert heart("ui", "--mlflow-port", "4200") == 2
    assert "both 4200" in one_line(capsys.readouterr().err)
