"""Google's and Azure's object stores on loopback: what reading needs of their interfaces, for objects in memory.

Objects are named ``bucket/path``. Nothing is written, and nobody is asked for a login, except that a store may refuse.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.harness.servers.web import answering

ACCOUNT, JSON = "clinic", "application/json"
SILENCE = 599  # no status of HTTP: nothing is answered
WHEN = 1_790_000_000  # seconds since 1970


@dataclass
class Cloud:
    """The store. status: what each request is answered with instead. asked: the paths, in their order.

    over: set when it ends; until then, a request that is answered with `SILENCE` waits.
    """

    objects: dict[str, bytes]
    port: int = 0
    status: int = 0
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def below(self, bucket: str, prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
        """The names of objects, and of folders, that begin with `prefix`, without the bucket."""
        names = [name.removeprefix(f"{bucket}/") for name in sorted(self.objects) if name.startswith(f"{bucket}/")]
        names = [name for name in names if name.startswith(prefix)]
        cut = [name for name in names if delimiter and delimiter in name[len(prefix) :]]
        folders = {prefix + name[len(prefix) :].partition(delimiter)[0] + delimiter for name in cut}
        return [name for name in names if name not in cut], sorted(folders)


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud

    def do_GET(self) -> None:
        self.cloud.asked.append(self.path)
        if self.cloud.status == SILENCE:
            self.cloud.over.wait(60)
        if self.cloud.status:
            self.answer(self.cloud.status)
            return
        parts = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.found(unquote(parts.path), parts.path, given)

    do_HEAD = do_GET  # noqa: N815

    def found(self, path: str, raw: str, given: Mapping[str, str]) -> None:
        raise NotImplementedError

    def answer(self, status: int, body: bytes = b"", kind: str = "", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, **({"Content-Type": kind} if kind else {})}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Google(_Handler):
    """Google's JSON API: https://cloud.google.com/storage/docs/json_api."""

    def found(self, path: str, raw: str, given: Mapping[str, str]) -> None:
        bucket, _, rest = raw.removeprefix("/storage/v1/b/").partition("/o")
        name = f"{bucket}/{unquote(rest.removeprefix('/'))}"
        if not rest:
            names, folders = self.cloud.below(bucket, given.get("prefix", ""), given.get("delimiter", ""))
            listed = {"items": [self._about(bucket, each) for each in names], "prefixes": folders}
            self.answer(
                200 if any(one.startswith(f"{bucket}/") for one in self.cloud.objects) else 404, _json(listed), JSON
            )
        elif name not in self.cloud.objects:
            self.answer(404)
        elif given.get("alt") == "media":
            self.answer(200, self.cloud.objects[name], "application/octet-stream")
        else:
            self.answer(200, _json(self._about(bucket, name.removeprefix(f"{bucket}/"))), JSON)

    def _about(self, bucket: str, name: str) -> dict[str, Any]:
        size = len(self.cloud.objects[f"{bucket}/{name}"])
        return {
            "kind": "storage#object", "bucket": bucket, "name": name, "size": str(size),
            "updated": "2026-11-29T12:00:00Z",
        }  # fmt: skip


class Azure(_Handler):
    """Azure's Blob service of a flat account: https://learn.microsoft.com/rest/api/storageservices."""

    def found(self, path: str, raw: str, given: Mapping[str, str]) -> None:
        bucket, _, name = path.removeprefix(f"/{ACCOUNT}/").partition("/")
        if given.get("action") == "getAccessControl":
            self.answer(400, x_ms_error_code="HierarchicalNamespaceNotEnabled")
        elif given.get("comp") == "list":
            names, folders = self.cloud.below(bucket, given.get("prefix", ""), given.get("delimiter", ""))
            if not any(one.startswith(f"{bucket}/") for one in self.cloud.objects):
                self.answer(404, x_ms_error_code="ContainerNotFound")
                return
            blobs = "".join(map(self._about, [f"{bucket}/{each}" for each in names]))
            blobs += "".join(f"<BlobPrefix><Name>{escape(each)}</Name></BlobPrefix>" for each in folders)
            listed = (
                f'<?xml version="1.0"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>'
            )
            self.answer(200, listed.encode(), "application/xml")
        elif f"{bucket}/{name}" not in self.cloud.objects:
            self.answer(404, x_ms_error_code="BlobNotFound")
        else:
            body, status, more = self.cloud.objects[f"{bucket}/{name}"], 200, {}
            if wanted := self.headers.get("x-ms-range") or self.headers.get("range"):
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                start, end, status = int(first), min(int(last or len(body)), len(body) - 1), 206
                more = {"Content_Range": f"bytes {start}-{end}/{len(body)}"}
                body = body[start : end + 1]
            when = formatdate(WHEN, usegmt=True)
            more |= {"Last_Modified": when, "ETag": '"1"', "x_ms_blob_type": "BlockBlob", "x_ms_creation_time": when}
            more |= {"x_ms_lease_state": "available", "x_ms_lease_status": "unlocked", "x_ms_server_encrypted": "true"}
            self.answer(status, body, "application/octet-stream", **more)

    def _about(self, name: str) -> str:
        size, when = len(self.cloud.objects[name]), formatdate(WHEN, usegmt=True)
        return (
            f"<Blob><Name>{escape(name.partition('/')[2])}</Name><Properties><Last-Modified>{when}</Last-Modified>"
            f"<Content-Length>{size}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
        )


@contextmanager
def serving(kind: type[_Handler], objects: Mapping[str, bytes]) -> Iterator[Cloud]:
    """Such a store with these objects."""
    cloud = Cloud(dict(objects))
    handler = type("Handler", (kind,), {"cloud": cloud})
    with answering(handler, cloud.over) as cloud.port:
        yield cloud


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
