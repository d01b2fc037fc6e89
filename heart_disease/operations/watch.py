"""A file that is watched: an event in Prefect for each new content, once it has stopped changing."""

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

VARIABLE = "heart_watched"  # in Prefect: the last digest of each file, so that a change during a downtime is seen


@dataclass
class Watch:
    """The file, what the last look saw of it, and the digest of its content, once that has stood still for a look."""

    path: Path
    seen: tuple[int, ...] | None = None
    digest: str | None = None

    def look(self) -> str | None:
        """The digest of the content where it has just stood still; None where there is no file, or nothing new."""
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
        """Tell Prefect of the content unless it was told of it last time; whether it was told."""
        path = str(self.path.absolute())
        known: Any = Variable.get(VARIABLE, default={})
        if known.get(path) == digest:
            return False
        asyncio.run(_emit(path, digest))
        Variable.set(VARIABLE, {**known, path: digest}, overwrite=True)
        return True


async def _emit(path: str, digest: str) -> None:
    resource = Resource({"prefect.resource.id": data_resource(path), "prefect.resource.name": path})
    async with get_events_client(checkpoint_every=1) as events:  # so that it has arrived when this returns
        await events.emit(Event(event=DATA_CHANGED, resource=resource, payload={"sha256": digest}))
