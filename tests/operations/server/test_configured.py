"""Prefect's own client asks the configured server; errors say what is wrong, and where the address comes from."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prefect.context import use_profile
from prefect.settings import PREFECT_API_URL, Profile, temporary_settings

from heart_disease.model.errors import UnavailableError
from heart_disease.operations.server import configured
from heart_disease.operations.server.server import prefect_server
from tests.harness.command import heart, one_line


class Fake(ThreadingHTTPServer):
    """As much of Prefect's API as `configured.check` asks for, below /api; the rest is a page, as with Prefect."""

    needs: tuple[str, str] | None = None  # a header
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api"


class Answer(BaseHTTPRequestHandler):
    """The answers of `Fake`."""

    server: Fake

    def answer(self, status: int, text: str) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        api = self.path.startswith("/api/csrf-token")
        self.answer(*((422, "CSRF protection is disabled.") if api else (200, "<html>")))

    def do_POST(self) -> None:
        needs = self.server.needs
        if not self.path.startswith("/api/"):
            self.answer(405, "{}")
        elif needs and self.headers[needs[0]] != needs[1]:
            self.answer(401, "{}")
        else:
            self.answer(self.server.status, "[]")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def variables(monkeypatch: pytest.MonkeyPatch, **given: str) -> Iterator[None]:
    """Prefect's settings as a new process would find them."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with use_profile(Profile(name="p", settings={}), include_current_context=False):
        yield


def problem(url: str, **more: str) -> str:
    """What is said of the server at `url`."""
    with pytest.raises(UnavailableError) as caught:
        configured.check(url, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "header"),
    [
        ("PREFECT_API_KEY", "a-key", ("Authorization", "Bearer a-key")),
        ("PREFECT_API_AUTH_STRING", "a:b", ("Authorization", "Basic YTpi")),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", '{"X-Team": "one"}', ("X-Team", "one")),
    ],
)
def test_a_login_of_any_kind_is_sent(
    variable: str, value: str, header: tuple[str, str], fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.needs = header
    with variables(monkeypatch, PREFECT_API_URL=fake.url):
        assert "refuses the login: expected its user:password in PREFECT_API_AUTH_STRING, which is not set" in problem(
            fake.url
        )
    with variables(monkeypatch, **{variable: value}):
        configured.check(fake.url)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PREFECT_API_KEY", "wrong", "refuses the login: it does not accept PREFECT_API_KEY"),
        ("PREFECT_API_AUTH_STRING", "w:w", "expected its user:password in PREFECT_API_AUTH_STRING, which has another"),
    ],
)
def test_a_wrong_login_is_named_and_not_shown(
    variable: str, value: str, said: str, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.needs = ("Authorization", "Bearer right")
    with variables(monkeypatch, PREFECT_API_URL=fake.url, **{variable: value}):
        assert said in problem(fake.url)
        assert value not in problem(fake.url)


def test_a_certificate_of_an_own_authority_is_enough(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=prefect",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    fake.socket = context.wrap_socket(fake.socket, server_side=True)
    url = fake.url.replace("http:", "https:")
    with variables(monkeypatch, PREFECT_API_URL=url):
        said = problem(url)
        assert "CERTIFICATE_VERIFY_FAILED" in said
        assert "in the file of PREFECT_API_SSL_CERT_FILE, which is " in said
    with variables(monkeypatch, PREFECT_API_SSL_CERT_FILE=str(certificate)):
        configured.check(url)


def test_an_address_without_api_is_corrected_only_if_that_is_certain(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = fake.url.removesuffix("/api")
    with variables(monkeypatch, PREFECT_API_URL=page):
        assert f"it sends no JSON. Its API is at {fake.url}: correct the address." in problem(page)
        fake.needs = ("Authorization", "Bearer unknown")
        assert f"Its API is at {fake.url}" in problem(page)  # it is there, although it asks for a login
        fake.needs, fake.status = None, 500
        assert "Correct it, or unset PREFECT_API_URL" in problem(page)


def test_what_is_not_prefect_is_said(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.status = 500
    with variables(monkeypatch, PREFECT_API_URL=fake.url):
        assert "does not answer as Prefect's API: it sends status 500" in problem(fake.url)


def test_an_error_says_where_the_address_is_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9/api"
    with variables(monkeypatch, PREFECT_API_URL=f"{url}/"):
        said = problem(url)
        assert said.startswith(f"the Prefect server at {url}, the address in the variable PREFECT_API_URL, does not")
        assert said.endswith("Start it, or unset PREFECT_API_URL for the embedded one.")
        assert problem(url, else_do="run it").endswith("Start it, or run it.")
    monkeypatch.delenv("PREFECT_API_URL")
    with use_profile(Profile(name="work", settings={PREFECT_API_URL: url}), include_current_context=False):
        said = problem(url)
        assert "the address in Prefect's profile 'work'," in said
        assert said.endswith("or run `prefect config unset PREFECT_API_URL` for the embedded one.")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prefect.toml").write_text(f'[api]\nurl = "{url}"\n')
    with variables(monkeypatch):
        assert configured.address() == url
        assert "the address in prefect.toml, pyproject.toml or .env," in problem(url)


def test_a_proxy_that_prefects_client_cannot_use_is_an_error_without_a_traceback(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with variables(monkeypatch, PREFECT_API_URL=fake.url):
        said = problem(fake.url)
        assert "cannot be asked: Using SOCKS proxy, but the 'socksio' package is not installed" in said
        assert "Start it" not in said


@pytest.mark.parametrize(
    "arguments", [["train"], ["schedule"], ["retrain", "--on-server"], ["notify", "--webhook", "http://x"]]
)
def test_each_command_that_uses_the_server_says_so(
    arguments: list[str], fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.needs = ("Authorization", "Bearer unknown")
    with temporary_settings({PREFECT_API_URL: fake.url}):
        assert heart(*arguments) == 4
    assert "refuses the login" in one_line(capsys.readouterr().err)


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_a_real_server_is_accepted() -> None:
    with prefect_server() as server:
        server.wait()
        assert server.answers()
