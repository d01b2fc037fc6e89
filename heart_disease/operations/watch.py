"""Watches a source and sends Prefect an event for each new content; of a file, once it has stopped changing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.events import Event, Resource
from prefect.events.clients import get_events_client
from prefect.types import MAX_VARIABLE_VALUE_LENGTH
from prefect.variables import Variable

from heart_disease.data import files
from heart_disease.data.remote import addresses, snapshots
from heart_disease.model.errors import HeartError, SourceError
from heart_disease.operations.deployments import DATA_CHANGED, data_resource

VARIABLE = "heart_watched"  # in Prefect: each source's last digest, so that a change during a downtime is noticed

log = logging.getLogger("heart")
REMOTE_SECONDS = 60  # each look at an address costs somebody else's server something


@dataclass
class Watch:
    """A source, what the last look saw of it, and its digest: of a file, once two looks in a row saw the same.

    problem: why the last look at an address failed. due: when the next one is, on the clock of `time.monotonic`.
    """

    source: str | Path
    seen: tuple[tuple[int, ...], ...] | None = None
    digest: str | None = None
    problem: str = ""
    due: float = 0

    def look(self) -> str | None:
        """The digest of new content that has stopped changing; None if there is no such source or nothing new."""
        return self._look_there(str(self.source)) if addresses.is_remote(self.source) else self._look_here()

    def _look_here(self) -> str | None:
        try:
            paths = files.find(self.source)
            seen = tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in map(Path.stat, paths))
            if seen != self.seen:
                self.seen, self.digest = seen, None
                return None
            if self.digest is not None:
                return None
            digest = hashlib.sha256()
            for path in paths:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            self.digest = digest.hexdigest()
            return self.digest
        except (OSError, SourceError):
            self.seen = self.digest = None
            return None

    def _look_there(self, source: str) -> str | None:
        if time.monotonic() < self.due:
            return None
        try:
            digest = snapshots.state(source)
        except HeartError as error:
            if str(error) != self.problem:
                log.warning("data      %s", error)
            self.problem = str(error)
            return None
        finally:
            self.due = time.monotonic() + REMOTE_SECONDS
        if digest == self.digest:
            return None
        self.digest, self.problem = digest, ""
        return digest

    def report(self, digest: str) -> bool:
        """Tell Prefect about the content unless it was the last one reported; True if it was told."""
        path = addresses.absolute(self.source)
        known: Any = Variable.get(VARIABLE, default={})
        if known.get(path) == digest:
            return False
        asyncio.run(_emit(path, digest))
        Variable.set(VARIABLE, remembered(known, path, digest), overwrite=True)
        return True


def remembered(known: Mapping[str, str], path: str, digest: str) -> dict[str, str]:
    """`known` with this digest, the newest last; as many of the older ones are left out as Prefect has no room for."""
    found = {name: value for name, value in known.items() if name != path} | {path: digest}
    while len(found) > 1 and len(json.dumps(found)) > MAX_VARIABLE_VALUE_LENGTH:
        found.pop(next(iter(found)))
    return found


async def _emit(path: str, digest: str) -> None:
    resource = Resource({"prefect.resource.id": data_resource(path), "prefect.resource.name": path})
    async with get_events_client(checkpoint_every=1) as events:  # the event has arrived when this returns
        await events.emit(Event(event=DATA_CHANGED, resource=resource, payload={"sha256": digest}))
