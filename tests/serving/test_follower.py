"""`heart serve` as a process: it follows the champion, drops no request, survives bad clients and bad stores."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest

from heart_disease import registry
from heart_disease.model.encoding import Encoder
from heart_disease.model.patient_model import PatientModel
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.command import ROOT, heart, one_line
from tests.harness.data import patients
from tests.harness.data.patients import FIRST
from tests.harness.faults.damage import files_of, flip_a_byte, make_it_a_pickled_model, replace_the_script
from tests.harness.models.stores import copy_store, store_in
from tests.harness.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow

TABLE = patients.make(60)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with versions 1 to 5, all different models; 1 is champion."""
    folder = tmp_path_factory.mktemp("made")
    with store_in(folder):
        for seed in range(1, 6):
            model = PatientModel(Encoder.fit(TABLE), network.build(Recipe(hidden=(2,), seed=seed), 29))
            with registry.open_run(f"recipe {seed}", {}) as run:
                registry.log_model(run, model, TABLE.head(2))
        mlflow.MlflowClient().set_registered_model_alias(registry.MODEL, registry.CHAMPION, "1")
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """A copy of that store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    copy_store(made, tmp_path)
    return mlflow.MlflowClient()


class Api:
    """A running `heart serve`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self._log = process, log
        started = wait_for(lambda: re.search(r"listening on http://127.0.0.1:(\d+)", self.log))
        self.port = int(started[1])
        wait_for(self.looked)

    def looked(self) -> bool:
        """Whether it has looked at the store yet."""
        return "serving" in self.log or "nothing to serve" in self.log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def version(self) -> str:
        return str(self.get("/model")[1].get("version", ""))


@contextmanager
def heart_serve(folder: Path, *arguments: str) -> Iterator[Api]:
    log = folder / "serve.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "heart_disease", "serve", "--port", "0", *arguments],
            cwd=folder, env=environment, stderr=stderr, text=True,
        )  # fmt: skip
    try:
        yield Api(process, log)
    finally:
        process.kill()
        process.wait()


def test_it_follows_the_champion_without_tensorflow_and_drops_no_request_meanwhile(
    store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    answers: list[tuple[int, str]] = []
    done = threading.Event()

    def ask(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        while not done.is_set():
            connection.request("POST", "/predict", json.dumps({"patients": [FIRST]}), JSON)
            response = connection.getresponse()
            answers.append((response.status, json.loads(response.read()).get("version")))

    with heart_serve(tmp_path) as api:
        clients = [threading.Thread(target=ask, args=(api.port,)) for _ in range(2)]
        for client in clients:
            client.start()
        try:
            for champion in ("2", "3", "1", "2"):
                store.set_registered_model_alias(registry.MODEL, registry.CHAMPION, champion)
                wait_for(lambda champion=champion: api.version() == champion)
        finally:
            done.set()
            for client in clients:
                client.join()
        assert "serving heart-disease version 3 (champion), before 2" in api.log
        if (libraries := Path(f"/proc/{api.process.pid}/maps")).exists():  # only Linux says what a process has loaded
            assert "numpy" in libraries.read_text()
            assert "tensorflow" not in libraries.read_text()
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {"1", "2", "3"}


def test_a_bad_version_does_not_take_the_place_of_a_good_one(store: mlflow.MlflowClient, tmp_path: Path) -> None:
    damages = {"2": flip_a_byte, "3": make_it_a_pickled_model, "4": replace_the_script}
    with heart_serve(tmp_path) as api:
        for bad, damage in damages.items():
            damage(files_of(bad), tmp_path / "executed")
            store.set_registered_model_alias(registry.MODEL, registry.CHAMPION, bad)
            refused = f"heart-disease version {bad} was not loaded: "
            wait_for(lambda refused=refused: refused in str(api.get("/model")[1]["problem"]))
            assert api.get("/health")[1] == {"status": "stale"}
            status, model = api.get("/model")
            assert (status, model["version"]) == (200, "1")
        store.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "5")
        wait_for(lambda: api.version() == "5")
        assert api.get("/health") == (200, {"status": "ok"})
        for bad in damages:  # once, and not every two seconds
            assert api.log.count(f"still version 1: heart-disease version {bad} was not loaded") == 1
    assert not (tmp_path / "executed").exists()


def test_a_store_that_fails_changes_nothing_but_the_state(store: mlflow.MlflowClient, tmp_path: Path) -> None:
    def rename(before: str, after: str) -> None:
        with closing(sqlite3.connect(tmp_path / "mlflow.db", timeout=PATIENCE)) as database:
            database.execute(f"ALTER TABLE {before} RENAME TO {after}")

    with heart_serve(tmp_path) as api:
        rename("registered_model_aliases", "away")
        wait_for(lambda: api.get("/health")[1] == {"status": "stale"})
        status, model = api.get("/model")
        assert (status, model["version"]) == (200, "1")
        assert "no such table: registered_model_aliases" in model["problem"]
        rename("away", "registered_model_aliases")
        wait_for(lambda: api.get("/health")[1] == {"status": "ok"})
        assert "all is well again" in api.log


def test_it_waits_for_the_first_champion(store: mlflow.MlflowClient, tmp_path: Path) -> None:
    store.delete_registered_model_alias(registry.MODEL, registry.CHAMPION)
    with heart_serve(tmp_path, "--wait") as api:
        assert api.get("/health") == (503, {"status": "no model"})
        assert "nothing to serve: no version of 'heart-disease' in" in api.log
        store.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "3")
        wait_for(lambda: api.get("/health")[0] == 200)


def test_it_answers_even_if_the_store_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections but never answers
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3600")
        monkeypatch.setattr(Api, "looked", lambda api: True)
        with heart_serve(tmp_path) as api:
            assert api.get("/health") == (503, {"status": "no model"})
            assert api.get("/model")[1]["detail"] == "no model is loaded: the store has not answered yet"
            api.process.terminate()
            assert api.process.wait(PATIENCE) == 0


def test_one_version_may_be_served_permanently(store: mlflow.MlflowClient, tmp_path: Path) -> None:
    with heart_serve(tmp_path, "--version", "2") as api:
        assert api.version() == "2"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--version", "9"], 4, "no version 9 of 'heart-disease'"),
        (["--version", "1"], 4, "heart-disease version 1 was not loaded"),
        (
            ["--version", "hello"],
            4,
            "is 'hello'; expected an alias that exists, or the number of a version",
        ),
        (["--port", "99999"], 2, "--port 99999: expected 0 to 65535"),
        (["--host", "192.0.2.1"], 4, "cannot listen on 192.0.2.1:"),
    ],
)
def test_if_nothing_can_be_served_it_ends_with_the_reason(
    arguments: list[str], code: int, message: str, store: mlflow.MlflowClient, tmp_path: Path, capsys: Any
) -> None:
    flip_a_byte(files_of("1"), tmp_path)
    assert heart("serve", "--port", "0", *arguments) == code
    assert message in one_line(capsys.readouterr().err)


def test_a_port_in_use_is_named(store: mlflow.MlflowClient, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert heart("serve", "--port", port) == 4


def test_a_slow_client_is_disconnected_and_the_others_do_not_wait_for_it(
    store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with heart_serve(tmp_path) as api:
        silent, dribbling, stuck = (socket.create_connection(("127.0.0.1", api.port)) for _ in range(3))
        stuck.sendall(head + b'{"patients')
        for connection in (silent, dribbling, stuck):
            connection.settimeout(PATIENCE)
        with silent, dribbling, stuck:
            dribbling.sendall(b"GET /health HTTP/1.1\r\n")
            dribbling.setblocking(False)

            def closed() -> bool:
                try:
                    dribbling.sendall(b"X: y\r\n")
                    return dribbling.recv(1000) == b""
                except BlockingIOError:
                    return False
                except OSError:
                    return True

            assert api.get("/health")[0] == 200
            wait_for(closed)
            assert silent.recv(1000) == b""
            answer = b"".join(iter(lambda: stuck.recv(1000), b""))
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"the request took longer than 10 seconds" in answer


def test_sigterm_ends_it_cleanly_after_the_requests_under_way(store: mlflow.MlflowClient, tmp_path: Path) -> None:
    body = json.dumps({"patients": [FIRST]}).encode()
    with heart_serve(tmp_path) as api, socket.create_connection(("127.0.0.1", api.port)) as client:
        client.settimeout(PATIENCE)
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        client.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body[:20]))
        assert api.get("/health")[0] == 200
        api.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not connects(api.port))
        client.sendall(body[20:])
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert api.process.wait(PATIENCE) == 0
        assert api.log.splitlines()[-1].endswith(" stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_client_that_never_finishes_does_not_keep_it_from_ending(
    number: signal.Signals, store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    with heart_serve(tmp_path) as api, socket.create_connection(("127.0.0.1", api.port)) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        assert api.get("/health")[0] == 200
        api.process.send_signal(number)
        assert api.process.wait(PATIENCE) == 0


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_the_token_is_in_no_log(store: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEART_API_TOKEN", "correct-horse")
    with heart_serve(tmp_path) as api:
        assert api.get("/model")[0] == 401
        assert "with the token of HEART_API_TOKEN" in api.log
        assert "correct-horse" not in api.log
