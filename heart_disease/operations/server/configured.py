"""The configured Prefect server. Prefect's own client asks it, with the certificates and logins that are set."""

from __future__ import annotations

import os
from json import JSONDecodeError

import httpx
from prefect.client.orchestration import get_client
from prefect.context import get_settings_context
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, get_current_settings, temporary_settings
from pydantic import ValidationError

from heart_disease.model.errors import UnavailableError

ANSWER_SECONDS = 10


def address() -> str | None:
    """The address of its API; None if none is configured."""
    url = get_current_settings().api.url
    return url.rstrip("/") if url else None


def check(url: str, else_do: str = "") -> None:
    """Return if the server answers and lets us in. else_do: what can be done instead of starting it.

    Raises:
        UnavailableError: it does not answer, refuses the login, or is no Prefect server.
    """
    source, unset = _source(url)
    server = f"the Prefect server at {url}, the address in {source},"
    problem = ask(url)
    if not problem:
        return
    if isinstance(problem, PrefectHTTPStatusError) and problem.response.status_code in (401, 403):
        raise UnavailableError(f"{server} refuses the login: {_login()}.") from problem
    if isinstance(problem, (JSONDecodeError, ValidationError, PrefectHTTPStatusError)):
        better = f"{url}/api"
        advice = f"Its API is at {better}: correct the address" if is_api(better) else f"Correct it, or {unset}"
        what = f"status {problem.response.status_code}" if isinstance(problem, PrefectHTTPStatusError) else "no JSON"
        raise UnavailableError(f"{server} does not answer as Prefect's API: it sends {what}. {advice}.") from problem
    if "CERTIFICATE_VERIFY_FAILED" in str(problem):
        raise UnavailableError(
            f"{server} has a certificate that cannot be verified: {problem}. Expected the certificate of its authority "
            f"in the file of PREFECT_API_SSL_CERT_FILE, which is {get_current_settings().api.ssl_cert_file}."
        ) from problem
    if not isinstance(problem, httpx.TransportError):  # a proxy or a certificate that the client cannot use
        raise UnavailableError(f"{server} cannot be asked: {in_words(problem)}") from problem
    raise UnavailableError(
        f"{server} does not answer: {in_words(problem)}. Expected a running server. Start it, or "
        f"{else_do or f'{unset} for the embedded one'}."
    ) from problem


def ask(url: str, seconds: float = ANSWER_SECONDS) -> Exception | None:
    """What goes wrong if the server is asked for something that needs the login; None if nothing does."""
    try:
        with (
            temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(httpx_settings={"timeout": seconds}, sync_client=True) as client,
        ):
            client.read_flows(limit=1)
    except Exception as error:  # of Prefect, httpx, ssl, or of a file that a setting names
        return error
    return None


def is_api(url: str) -> bool:
    """Whether Prefect's API is at `url`, with or without a login."""
    problem = ask(url)
    return not problem or (isinstance(problem, PrefectHTTPStatusError) and problem.response.status_code in (401, 403))


def in_words(problem: BaseException) -> str:
    """The error's text; httpx has none for a time-out."""
    if isinstance(problem, httpx.TimeoutException):
        return f"nothing came within {ANSWER_SECONDS} seconds"
    return str(problem) or type(problem).__name__


def _login() -> str:
    """What was sent as a login, and what is expected."""
    api = get_current_settings().api
    if api.key and not api.auth_string:
        return "it does not accept PREFECT_API_KEY"
    what = "has another" if api.auth_string else "is not set"
    return f"expected its user:password in PREFECT_API_AUTH_STRING, which {what}"


def _source(url: str) -> tuple[str, str]:
    """Where the address is from, and how to unset it there."""
    if os.environ.get("PREFECT_API_URL", "").rstrip("/") == url:
        return "the variable PREFECT_API_URL", "unset PREFECT_API_URL"
    profile = get_settings_context().profile
    if str(profile.settings.get(PREFECT_API_URL, "")).rstrip("/") == url:
        return f"Prefect's profile '{profile.name}'", "run `prefect config unset PREFECT_API_URL`"
    return "prefect.toml, pyproject.toml or .env", "take PREFECT_API_URL out of there"
