"""Files on the web: one GET, its bytes as they come."""

from __future__ import annotations

import hashlib
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from heart_disease.data.remote.addresses import Address, Filled, suffix
from heart_disease.data.remote.patience import MOST_BYTES, PIECE, Patience, TransientError
from heart_disease.model.errors import SourceError, UnavailableError

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # the status codes that may pass
KINDS = {"parquet": ".parquet", "ndjson": ".jsonl", "jsonl": ".jsonl", "json-seq": ".jsonl", "spreadsheetml": ".xlsx"}


def read(address: Address, secret: Filled, folder: Path, patience: Patience) -> list[Path]:
    """Fetch the file into `folder`.

    Raises:
        SourceError: there is none, it may not be read, or it is too long or a web page.
        TransientError: the server does not answer, or breaks off.
        UnavailableError: it took too long.
    """
    start = b""
    with _answer(address, secret, patience) as answer:
        path = folder / f"0{_suffix(address, answer)}"
        with path.open("wb") as file:
            for piece in _pieces(answer, address, patience):
                start = start or piece[:1000]
                file.write(piece)
    if "html" in answer.headers.get("content-type", "") and start.lstrip()[:1] == b"<":
        raise SourceError(
            f"'{address.text}' is a web page; expected a file of patients. Take the address behind its download button."
        )
    return [path]


def state(address: Address, secret: Filled, patience: Patience) -> str:
    """What changes with the file: its ETag, or its date and length, or else a digest of its bytes.

    Raises:
        SourceError, TransientError, UnavailableError: as `read`.
    """
    digest = hashlib.sha256()
    with _answer(address, secret, patience) as answer:
        headers = answer.headers
        if tag := headers.get("etag"):
            return str(tag)
        if date := headers.get("last-modified"):
            return f"{date}, {headers.get('content-length', '?')} bytes"
        for piece in _pieces(answer, address, patience):
            digest.update(piece)
    return digest.hexdigest()


def too_long(address: Address) -> SourceError:
    """The error of what exceeds the bound."""
    return SourceError(
        f"'{address.text}' has more than {MOST_BYTES:,} bytes; expected a table of patients. If it is one, download "
        "it, and name the file."
    )


def _pieces(answer: Any, address: Address, patience: Patience) -> Iterator[bytes]:
    end, size = time.monotonic() + patience.total, 0
    for piece in answer.iter_bytes(PIECE):
        size += len(piece)
        if size > MOST_BYTES:
            raise too_long(address)
        if time.monotonic() > end:
            raise UnavailableError(
                f"'{address.text}' was not read: after {patience.total:g} s only {size:,} bytes have come."
            )
        yield piece


@contextmanager
def _answer(address: Address, secret: Filled, patience: Patience) -> Iterator[Any]:
    import httpx

    try:
        with (
            _unlogged(),
            httpx.Client(timeout=patience.silence, follow_redirects=True, max_redirects=10) as client,
            client.stream("GET", secret.location) as answer,
        ):
            _check(answer, address)
            yield answer
    except httpx.HTTPError as error:
        what = secret.hide(str(error) or type(error).__name__).rstrip(".")
        if isinstance(error, httpx.TransportError) and not _is_wrong(error):
            raise TransientError(f"no answer within {patience.silence:g} s" if _is_late(error) else what) from error
        raise SourceError(f"'{address.text}' cannot be read: {what}. Check the address.") from error
    except httpx.InvalidURL as error:
        raise SourceError(f"'{address.text}' is no address: {secret.hide(str(error))}.") from error


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the client from logging each address that it asks, passwords included."""

    def drop(_: logging.LogRecord) -> bool:
        return False

    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore.http11")]
    for logger in loggers:
        logger.addFilter(drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(drop)


def _is_late(error: Exception) -> bool:
    import httpx

    return isinstance(error, httpx.TimeoutException)


def _is_wrong(error: BaseException) -> bool:
    """Whether trying again cannot help: an unknown host, a certificate that is not trusted, a protocol."""
    import httpx

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError | httpx.UnsupportedProtocol):
            return True
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _check(answer: Any, address: Address) -> None:
    code = answer.status_code
    if answer.is_success:
        return
    what = f"{code} {answer.reason_phrase}".rstrip()
    if code in AGAIN:
        wait = answer.headers.get("retry-after", "")
        raise TransientError(f"the server answers {what}", float(wait) if wait.isdigit() else 0)
    if code in (404, 410):
        raise SourceError(f"no file '{address.text}': the server answers {what}. Check the address.")
    if code in (401, 403, 407):
        raise SourceError(
            f"'{address.text}' may not be read: the server answers {what}. If it needs a login, "
            "write NAME:${HEART_SOURCE_PASSWORD}@ before the host, and set that variable."
        )
    raise SourceError(f"'{address.text}' cannot be read: the server answers {what}.")


def _suffix(address: Address, answer: Any) -> str:
    """What the name in the address ends with; without an end, what the server calls the kind."""
    if found := suffix(urlsplit(address.location).path):
        return found
    kind = answer.headers.get("content-type", "")
    return next((end for sign, end in KINDS.items() if sign in kind), ".csv")
