"""The embedded servers have settings of their own, whatever environment, profile and files say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.context import use_profile
from prefect.settings import Profile, get_current_settings

from heart_disease.operations.server import own
from heart_disease.processes.loopback import free_port
from tests.harness.command import ROOT
from tests.harness.waiting import PATIENCE

URL = "http://127.0.0.1:1/api"
FOR_OTHERS = {
    "PREFECT_API_AUTH_STRING": "a:b",
    "PREFECT_API_KEY": "key",
    "PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Team": "one"}',
    "PREFECT_SERVER_API_AUTH_STRING": "c:d",
    "PREFECT_SERVER_API_BASE_PATH": "/prefect",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_MESSAGING_BROKER": "nowhere",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
}
PROXIES = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")


def of_others(settings: Any) -> list[Any]:
    """What the variables above set."""
    server, api = settings.server, settings.api
    return [
        api.auth_string, api.key, settings.client.custom_headers, server.api.auth_string, server.api.base_path,
        server.api.csrf_protection_enabled, server.ui.enabled, server.services.scheduler.enabled,
    ]  # fmt: skip


DEFAULTS = [None, None, {}, None, None, False, True, True]


def test_variables_for_other_servers_are_left_out_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FOR_OTHERS.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with use_profile(Profile(name="p", settings={}), include_current_context=False):
        given = of_others(get_current_settings())
        assert not any(one == default for one, default in zip(given, DEFAULTS, strict=True))
        with own.prefect_settings(URL):
            assert get_current_settings().api.url == URL
            assert of_others(get_current_settings()) == DEFAULTS
            assert not FOR_OTHERS.keys() & os.environ.keys()
            assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "CRITICAL"  # not for a server
    assert dict(os.environ) == before


def test_folder_and_database_are_kept_from_any_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", "home")
    monkeypatch.delenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", raising=False)
    (tmp_path / "prefect.toml").write_text(
        '[server.api]\nauth_string = "a:b"\n[server.database]\nconnection_url = "sqlite+aiosqlite:///mine.db"\n'
    )
    with use_profile(Profile(name="p", settings={}), include_current_context=False), own.prefect_settings(URL):
        # The server runs in another folder, without prefect.toml.
        assert os.environ["PREFECT_HOME"] == str(tmp_path / "home")
        assert os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == f"sqlite+aiosqlite:///{tmp_path / 'mine.db'}"
        assert "PREFECT_SERVER_API_AUTH_STRING" not in os.environ
        assert own.database() == f"sqlite+aiosqlite:///{tmp_path / 'mine.db'}"


def test_a_databases_password_is_passed_on_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql+asyncpg://me:p%40ss@db:5432/prefect"
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", address)
    with use_profile(Profile(name="p", settings={}), include_current_context=False), own.prefect_settings(URL):
        assert os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == address
        assert "p%40ss" not in own.database()


def test_no_option_of_mlflows_server_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.cli

    options = [option.envvar for option in mlflow.cli.server.params if option.envvar]
    logins = [f"MLFLOW_{name}" for name in ("TRACKING_USERNAME", "TRACKING_PASSWORD", "AUTH_CONFIG_PATH")]
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in options
    for name in (*options, *logins):
        monkeypatch.setenv(name, "other")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://store")
    its = own.mlflow_environment()
    assert [name for name in (*options, *logins) if name in its] == []
    assert its["MLFLOW_S3_ENDPOINT_URL"] == "http://store"


def hostile(folder: Path) -> dict[str, str]:
    """An environment in which everything is meant for other servers, or goes through a proxy that does not exist."""
    home = folder / "prefect"
    home.mkdir()
    (home / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_SERVER_API_AUTH_STRING = "p:p"\nPREFECT_API_AUTH_STRING = "q:q"\n'
    )
    (folder / "prefect.toml").write_text('[server.api]\nauth_string = "t:t"\n')
    unset = ("no_proxy", "NO_PROXY", "PREFECT_API_URL")
    plain = {name: value for name, value in os.environ.items() if name not in unset}
    stores = {"PREFECT_HOME": str(home), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    stores["PYTHONPATH"] = str(ROOT)
    mlflow = {"MLFLOW_SERVER_ALLOWED_HOSTS": "elsewhere", "MLFLOW_STATIC_PREFIX": "/x", "MLFLOW_HOST": "192.0.2.1"}
    return {**plain, **PROXIES, **FOR_OTHERS, **mlflow, **stores}


@pytest.mark.slow
def test_a_command_works_among_settings_for_other_servers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heart_disease", "reconcile", "--json"],
        env={**hostile(tmp_path), "all_proxy": "socks5://127.0.0.1:9"},
        cwd=tmp_path, text=True, capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "0 closed" in done.stderr
    assert json.loads(done.stdout) == {"closed": []}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "last"),
    [
        (["ui", "--mlflow-port", "{one}", "--prefect-port", "{other}"], "Prefect  http://127.0.0.1:{other}\n"),
        (["schedule", "--port", "{one}"], "Ctrl-C ends it.\n"),
    ],
)
def test_servers_start_among_settings_for_other_servers(command: list[str], last: str, tmp_path: Path) -> None:
    ports = {"one": free_port(), "other": free_port()}
    process = subprocess.Popen(
        [sys.executable, "-m", "heart_disease", *(word.format(**ports) for word in command)],
        env=hostile(tmp_path), cwd=tmp_path, text=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout
        assert last.format(**ports) in iter(process.stdout.readline, "")
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
