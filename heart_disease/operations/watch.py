"""Watches a file and sends Prefect an event for each new content, once the file has stopped changing."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.events import Event, Resource
from prefect.events.clients import get_events_client
from prefect.variables import Variable

from heart_disease.operations.deployments import DATA_CHANGED, data_resource

VARIABLE = "heart_watched"  # in Prefect: each file's last digest, so that a change during a downtime is noticed


@dataclass
class Watch:
    """A file, what the last look saw of it, and its digest once two looks in a row saw the same."""

    path: Path
    seen: tuple[int, ...] | None = None
    digest: str | None = None

    def look(self) -> str | None:
        """The digest of new content that has stopped changing; None if there is no file or nothing new."""
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self.seen:
                self.seen, self.digest = seen, None
                return None
            if self.digest is not None:
                return None
            with self.path.open("rb") as file:
                self.digest = hashlib.file_digest(file, "sha256").hexdigest()
            return self.digest
        except OSError:
            self.seen = self.digest = None
            return None

    def report(self, digest: str) -> bool:
        """Tell Prefect about the content unless it was the last one reported; True if it was told."""
        path = str(self.path.absolute())
        known: Any = Variable.get(VARIABLE, default={})
        if known.get(path) == digest:
            return False
        asyncio.run(_emit(path, digest))
        Variable.set(VARIABLE, {**known, path: digest}, overwrite=True)
        return True


async def _emit(path: str, digest: str) -> None:
    resource = Resource({"prefect.resource.id": data_resource(path), "prefect.resource.name": path})
    async with get_events_client(checkpoint_every=1) as events:  # the event has arrived when this returns
        await events.emit(Event(event=DATA_CHANGED, resource=resource, payload={"sha256": digest}))
