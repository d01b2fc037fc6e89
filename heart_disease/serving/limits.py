"""Limits that keep one client from blocking the API for the others: bytes, seconds, requests at once, a token.

A request is refused before its body is read, or while it is being read. uvicorn itself limits the size of the headers.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

BYTES = 1 << 20  # the largest body
HEADER_SECONDS = 10  # they begin with the connection or the last answer, and end with the next request's headers
REQUEST_SECONDS = 10  # they begin with the end of the headers, and end with the answer
AT_ONCE = 64  # requests; each takes milliseconds, so this many can only be waiting for slow clients
OPEN = frozenset(["", "/page.css", "/page.js", "/health", "/ping"])  # paths that need no token; without a last slash
TOO_LARGE = f"the body is too large; expected at most {BYTES} bytes"


class Bounds:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        self.app, self._expected = app, f"Bearer {token}".encode() if token else b""
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with the reason."""
        if scope["type"] != "http":  # a lifespan message; uvicorn itself refuses web sockets
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # the answer to GET, of which uvicorn leaves out the body
            scope = {**scope, "method": "GET"}
        headers = dict(scope["headers"])
        needed = self._expected and scope["path"].rstrip("/") not in OPEN
        if needed and not self._allows(headers.get(b"authorization", b"")):
            what = "a token is missing or wrong; expected the header 'Authorization: Bearer TOKEN'"
            await refuse(send, 401, what, (b"www-authenticate", b"Bearer"))
        elif int(headers.get(b"content-length", 0)) > BYTES:  # h11 has checked that it is a number
            await refuse(send, 413, TOO_LARGE)
        elif self._running >= AT_ONCE:
            await refuse(send, 503, f"{AT_ONCE} requests are being answered; try again", (b"retry-after", b"1"))
        else:
            self._running += 1
            try:
                await self._answer(scope, receive, send)
            finally:
                self._running -= 1

    def _allows(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._expected)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, size = False, 0

        async def counted() -> Message:  # a chunked body does not announce its length
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > BYTES:
                raise HTTPException(413, TOO_LARGE, {"Connection": "close"})
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self.app(scope, counted, noted)
        except TimeoutError:
            if not started:  # otherwise the client reads too slowly, and uvicorn closes the connection
                await refuse(send, 408, f"the request took longer than {REQUEST_SECONDS} seconds")


async def refuse(send: Send, status: int, what: str, *headers: tuple[bytes, bytes]) -> None:
    """Answer with an error in FastAPI's format, and close the connection: a body may still be on its way."""
    body = json.dumps({"detail": what}).encode()
    always = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": [*always, *headers]})
    await send({"type": "http.response.body", "body": body})


class Protocol(H11Protocol):
    """uvicorn's HTTP with a time limit; without one it waits forever for the end of a request's headers."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)
        # Without this, the end of an answer waits 40 ms for the delayed acknowledgement of its beginning. asyncio sets
        # it only on the sockets that it makes itself.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expect_headers()

    def on_response_complete(self) -> None:
        """Start to wait for the next request."""
        self._expect_headers()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting for a request."""
        if self._late:
            self._late.cancel()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        if self._late:
            self._late.cancel()
        self._late = self.loop.call_later(HEADER_SECONDS, self._close_if_late)

    def _close_if_late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
