"""A web server on loopback that answers as it is told: with errors, half a file, or nothing at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """What is answered once. length: the Content-Length, if that is to be wrong. stalls: it then goes silent."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None
    stalls: bool = False


@dataclass
class Web:
    """The server. address: of a file. asked: how often. The last of the answers is given again and again."""

    answers: Sequence[Answer]
    base: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def address(self, path: str = "patients.csv", login: str = "") -> str:
        return f"http://{login}{self.base}/{path}"


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler], over: threading.Event) -> Iterator[int]:
    """A server with this handler in a thread of the test's process, on the port that is yielded; `over` is its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving(*answers: Answer) -> Iterator[Web]:
    """A server that gives these answers, one after the other."""
    web = Web(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked.append({**self.headers, "path": self.path})
            answer = web.answers[min(len(web.asked), len(web.answers)) - 1]
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.body)
            if answer.stalls:
                self.wfile.flush()
                web.over.wait(60)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with answering(Handler, web.over) as port:
        web.base = f"127.0.0.1:{port}"
        yield web
