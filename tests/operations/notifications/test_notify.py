"""Notifications: what is refused, what happens to secrets; each bad end arrives once, by webhook and by mail."""

from __future__ import annotations

import email
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.server.utilities.user_templates import render_user_template_sync
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Crashed

from heart_disease import registry
from heart_disease.model.errors import RejectedError
from heart_disease.operations import states
from heart_disease.operations.notifications import notify
from tests.harness.command import heart, one_line
from tests.harness.faults.work import using
from tests.harness.servers.prefect_server import Site, server
from tests.harness.waiting import wait_for


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--webhook", "ftp://x"], "--webhook: expected an address that begins with https:// or http://"),
        (["--webhook"], "on the command line or in HEART_WEBHOOK_URL"),
        (["--mail", "nobody"], "--mail nobody: expected an address such as you@example.org"),
        (["--mail", "a@example.org"], "HEART_SMTP_URL is not set, or no address of a mail server"),
        ([], "one of the arguments --webhook --mail is required"),
    ],
)
def test_invalid_options_end_in_2(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HEART_WEBHOOK_URL", "HEART_SMTP_URL"):
        monkeypatch.delenv(name, raising=False)
    assert heart("notify", *arguments) == 2
    assert message in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("url", ["smtp:/x", "http://mail", "smtps://u:secret@:25", "smtps://u:secret@host:port"])
def test_an_invalid_mail_server_is_refused_without_showing_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEART_SMTP_URL", url)
    assert heart("notify", "--mail", "a@example.org") == 2
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://relay", "mailto://relay/?smtp=relay&mode=insecure"),
        ("smtps://u:p%40ss@host:4650", "mailtos://u:p%40ss@host:4650/?smtp=host&mode=ssl"),
        ("starttls://u:p@host", "mailtos://u:p@host/?smtp=host&mode=starttls"),
    ],
)
def test_a_mail_server_in_apprises_notation(url: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEART_SMTP_URL", url)
    monkeypatch.setenv("HEART_MAIL_FROM", "heart@example.org")
    made = notify.mail_url(["a@example.org", "b@example.org"])
    assert made == f"{expected}&from=heart%40example.org&to=a%40example.org%2Cb%40example.org&format=text"


@pytest.mark.parametrize(
    ("store", "page", "expected"),
    [
        ("sqlite:///mlflow.db", "", "http://127.0.0.1:5000"),
        ("http://mlflow:5000", "", "http://mlflow:5000"),
        ("http://mlflow:5000", "http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
    ],
)
def test_links_to_mlflow_lead_to_its_public_address(
    store: str, page: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("HEART_MLFLOW_URL", page)
    assert registry.page() == expected


def test_without_a_server_it_ends_in_4(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert heart("notify", "--webhook", "https://example.org/secret") == 4
    said = one_line(capsys.readouterr().err)
    assert "does not answer" in said
    assert "secret" not in said


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize(
    ("flow_name", "experiment"),
    [("train", registry.EXPERIMENT), ("sweep", registry.SWEEPS), ("monitor", registry.MONITORING)],
)
def test_the_link_to_mlflow_leads_to_the_runs_of_the_flow(flow_name: str, experiment: str) -> None:
    its = {"flow": SimpleNamespace(name=f"heart-disease-{flow_name}"), "flow_run": SimpleNamespace(id="1234")}
    link = render_user_template_sync(notify._bad_end().mlflow, its)
    found = mlflow.MlflowClient().get_experiment_by_name(experiment)
    assert found
    assert f"/#/experiments/{found.experiment_id}/runs?" in link
    assert link.endswith("%27" + "1234" + "%27")


@pytest.mark.usefixtures("prefect")
def test_notifications_that_were_paused_stay_paused(capsys: pytest.CaptureFixture[str]) -> None:
    def said() -> str:
        assert heart("notify", "--webhook", "https://example.org/hook") == 0
        return one_line(capsys.readouterr().out)

    assert "paused" not in said()
    with get_client(sync_client=True) as client:
        [made] = client.read_automations_by_name("heart: webhook")
        client.pause_automation(made.id)
        assert "'heart: webhook' is paused and tells nothing until you resume it there." in said()
        assert not client.read_automation(made.id).enabled  # type: ignore[union-attr]
        assert heart("notify", "--webhook", "https://example.org/hook", "--json") == 0
        shown = capsys.readouterr().out
        assert "example.org" not in shown  # the address is a secret
        found = json.loads(shown)
        assert (found["mail"], found["paused"], found["silence_seconds"]) == (None, ["heart: webhook"], None)
        assert found["page"].endswith("/automations")
        assert found["no_silence_because"]
        client.delete_automation(made.id)


class Receiver:
    """A web server and a mail server on loopback, and the messages they received."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str]]] = []
        self.mails: list[Any] = []
        posts, mails = self.posts, self.mails

        class Web(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.append((self.headers["Authorization"], json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Mail(socketserver.StreamRequestHandler):
            """As much of SMTP as a client without encryption needs."""

            def handle(self) -> None:
                self.wfile.write(b"220 here\r\n")
                for line in self.rfile:
                    command = line[:4].upper()
                    if command == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        text = b"".join(iter(self.rfile.readline, b".\r\n"))
                        mails.append(email.message_from_bytes(text, policy=policy.default))
                    self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 well\r\n")

        self.servers = [
            ThreadingHTTPServer(("127.0.0.1", 0), Web),
            socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail),
        ]
        self.web, self.mail = (one.server_address[1] for one in self.servers)

    @contextmanager
    def listening(self) -> Iterator[Receiver]:
        for one in self.servers:
            threading.Thread(target=one.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            for one in self.servers:
                one.shutdown()
                one.server_close()

    def runs(self) -> set[str]:
        return {post["run"] for _, post in self.posts}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with server(tmp_path_factory.mktemp("notify")) as it, using({"PREFECT_API_URL": it.url}):
        yield it


@pytest.mark.slow
def test_each_bad_end_arrives_once_by_webhook_and_by_mail(site: Site) -> None:
    ends: dict[str, Any] = {}

    @flow(name="heart-disease-train", flow_run_name="{name}")
    def ours(name: str) -> Any:
        return ends[name]()

    @flow(name="another")
    def theirs() -> Any:
        return states.failed(RejectedError("nobody asked"))

    with Receiver().listening() as receiver, get_client(sync_client=True) as client:
        its = site.environment  # the environment of the command
        its |= {
            "HEART_WEBHOOK_URL": f"http://127.0.0.1:{receiver.web}/hook", "HEART_WEBHOOK_TOKEN": "a-secret",
            "HEART_SMTP_URL": f"smtp://127.0.0.1:{receiver.mail}", "HEART_MAIL_FROM": "heart@example.org",
        }  # fmt: skip
        for arguments in (
            ["--webhook"],
            ["--webhook"],
            ["--mail", "you@example.org"],
        ):  # twice has the same effect as once
            done = site.heart("notify", *arguments)
            assert done.returncode == 0, done.stderr
            assert "a-secret" not in done.stdout + done.stderr
            assert f"{receiver.web}/hook" not in done.stdout + done.stderr
        assert sorted(one.name for one in client.read_automations()) == ["heart: mail", "heart: webhook"]
        documents = client._client.post("/block_documents/filter", json={}).text
        assert "a-secret" not in documents
        assert f"{receiver.web}/hook" not in documents

        def end(name: str, state: Any) -> None:
            ends[name] = state
            ours(name, return_state=True)

        def close(name: str, state: Any) -> None:
            run = client.create_flow_run(ours, name=name, parameters={"name": name})
            client.set_flow_run_state(run.id, state, force=True)

        theirs(return_state=True)
        end("fine", lambda: states.completed("Promoted", "at last"))
        end("other patients", lambda: states.completed("Drifted", "20 patients of new.csv differ"))
        end("not promoted", lambda: states.completed("NotPromoted", "version 2: worse than champion version 1"))
        end("rejected", lambda: states.failed(RejectedError('column "chol" has\n9999')))
        close("crashed", Crashed(message="Its process was killed."))
        close("skipped", Cancelled(message=notify.SKIPPED))
        close("cancelled", Cancelled())
        expected = {"other patients", "not promoted", "rejected", "crashed", "cancelled"}
        wait_for(lambda: receiver.runs() >= expected and len(receiver.mails) >= len(expected))
        close("the last", Crashed())
        wait_for(lambda: "the last" in receiver.runs() and len(receiver.mails) > len(expected))

    assert sorted(post["run"] for _, post in receiver.posts) == sorted([*expected, "the last"])
    assert {authorization for authorization, _ in receiver.posts} == {"Bearer a-secret"}
    told = {post["run"]: post for _, post in receiver.posts}
    assert told["rejected"]["reason"] == 'column "chol" has 9999'
    assert told["crashed"]["reason"] == "Its process was killed."
    assert told["cancelled"]["reason"] == "no reason was given"
    assert told["not promoted"]["text"].startswith("heart-disease-train: NotPromoted\nnot promoted\nversion 2: worse")
    assert all(post["prefect"].startswith(f"{site.url.removesuffix('/api')}/runs/flow-run/") for post in told.values())
    assert all("searchFilter=tags.%60prefect.flow_run_id%60%20%3D%20%27" in post["mlflow"] for post in told.values())

    assert len(receiver.mails) == len(receiver.posts)
    mails = {mail.get_content().partition("run: ")[2].splitlines()[0]: mail for mail in receiver.mails}
    assert set(mails) == set(told)
    assert mails["rejected"]["Subject"] == "heart-disease-train: Rejected"
    assert mails["rejected"]["To"] == "you@example.org"
    body = mails["rejected"].get_content()
    for field in ("reason", "prefect", "mlflow"):
        assert told["rejected"][field] in body
