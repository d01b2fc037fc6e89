"""The settings of the embedded servers: their own, whatever the environment and Prefect's profile say.

Logins, certificates, other addresses and the options of other servers are meant for those other servers. The
embedded server and its clients keep Prefect's folder, its database, and the settings that say how flows run and log.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from prefect.context import use_profile
from prefect.settings import Profile, Settings, get_current_settings
from sqlalchemy.engine import make_url

FOR_OTHERS = (
    "PREFECT_API_", "PREFECT_CLIENT_", "PREFECT_CLOUD_", "PREFECT_MESSAGING_", "PREFECT_PROFILE", "PREFECT_SERVER_",
    "PREFECT_UI_",
)  # fmt: skip
DATABASE = "PREFECT_SERVER_DATABASE_"
# A run of a deployment holds its place by a lease, which it renews every 225 seconds. A server that kept leases in its
# memory would forget them when it is started again: the run would end as crashed, and its place would stay taken.
LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}
# The options of `mlflow server`, which it also takes from the environment, and the logins of its clients.
MLFLOW_FOR_OTHERS = (
    "MLFLOW_ARTIFACTS_", "MLFLOW_AUTH_", "MLFLOW_BACKEND_", "MLFLOW_DEFAULT_ARTIFACT_ROOT", "MLFLOW_ENABLE_WORKSPACES",
    "MLFLOW_EXPOSE_", "MLFLOW_FLASK_", "MLFLOW_GUNICORN_", "MLFLOW_HOST", "MLFLOW_PORT", "MLFLOW_READ_REPLICA_",
    "MLFLOW_REGISTRY_", "MLFLOW_SERVE_", "MLFLOW_SERVER_", "MLFLOW_STATIC_", "MLFLOW_TRACE_ARCHIVAL_",
    "MLFLOW_TRACKING_", "MLFLOW_UVICORN_", "MLFLOW_WORKERS", "MLFLOW_WORKSPACE",
)  # fmt: skip


@contextmanager
def prefect_settings(url: str) -> Iterator[None]:
    """Until the end of the block, Prefect has these settings, here and in the processes that are started."""
    before, proxies = _variables(), _unusable_proxies()
    _set_variables({**_without_others(get_current_settings()), "PREFECT_API_URL": url})
    for name in proxies:
        del os.environ[name]
    try:
        with use_profile(Profile(name="heart", settings={}), include_current_context=False):
            yield
    finally:
        _set_variables(before)
        os.environ.update(proxies)


def _unusable_proxies() -> dict[str, str]:
    """The variables with a SOCKS proxy, if a package for these is missing.

    Prefect's client would refuse to start because of one, although it does not ask a proxy for this machine.
    """
    if find_spec("socksio"):
        return {}
    return {
        name: value
        for name, value in os.environ.items()
        if name.lower() in ("all_proxy", "http_proxy", "https_proxy") and value.lower().startswith("socks")
    }


def _variables() -> dict[str, str]:
    """Prefect's variables; those with two underscores are not settings."""
    return {name: value for name, value in os.environ.items() if re.match("PREFECT_[^_]", name)}


def _set_variables(wanted: Mapping[str, str]) -> None:
    for name in _variables().keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


def _without_others(settings: Settings) -> dict[str, str]:
    """The settings of all sources, so of files too, as variables, except those for other servers."""
    found = {**_variables(), **settings.to_environment_variables(exclude_unset=True)}
    kept = {
        name: value for name, value in found.items() if name.startswith(DATABASE) or not name.startswith(FOR_OTHERS)
    }
    if address := settings.server.database.connection_url:
        kept[f"{DATABASE}CONNECTION_URL"] = _absolute(address.get_secret_value())
    return kept | {
        **LEASES,
        "PREFECT_HOME": str(settings.home.absolute()),
        "PREFECT_PROFILES_PATH": os.devnull,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def _absolute(address: str) -> str:
    """The database's address; a file is given by its full path, because the server runs in another folder."""
    url = make_url(address)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        url = url.set(database=str(Path(url.database).absolute()))
    return url.render_as_string(hide_password=False)


def database() -> str:
    """Where the embedded Prefect server keeps its data, without a password."""
    settings = get_current_settings()
    address = settings.server.database.connection_url
    if address:
        return make_url(address.get_secret_value()).render_as_string()
    return f"in the folder {settings.home} (PREFECT_HOME)"


def prefect_page(url: str) -> dict[str, str]:
    """The environment of a Prefect server with a page, within `prefect_settings`.

    Without it, the page asks port 4200 for its data, whatever port the server has.
    """
    return {**os.environ, "PREFECT_SERVER_UI_API_URL": url}


def mlflow_environment() -> dict[str, str]:
    """The environment of an embedded MLflow server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(MLFLOW_FOR_OTHERS)}
    return kept | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
