"""How far a long training or search is, as a progress artifact on the flow run's page in Prefect."""

from __future__ import annotations

import threading
from contextlib import suppress
from contextvars import copy_context
from typing import Self
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

LONG_SECONDS = 30.0  # shorter work has no artifact
SEND_SECONDS = 5.0  # between two updates, of which Prefect records each as an event
END_SECONDS = 5.0  # the last update may delay the work's end by this much


class Progress:
    """A context manager around the work, within a flow run. Call `tell` with the share that is done, 0 to 1.

    A thread of its own talks to the server, so that the work never waits for it. If the server does not answer, the
    page lags behind, and nothing else happens. Work that fails leaves the artifact at the share that it had reached.
    """

    def __init__(self, what: str) -> None:
        self.what, self.share = what, 0.0
        self._ended = threading.Event()
        # In a copy of this context, the thread knows the flow run and uses its client.
        self._thread = threading.Thread(target=copy_context().run, args=(self._send,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(END_SECONDS)

    def tell(self, share: float) -> None:
        """Note the share that is done; this takes no time."""
        self.share = share

    def _send(self) -> None:
        """Keep the artifact up to date until the work has ended."""
        if self._ended.wait(LONG_SECONDS):
            return
        artifact: UUID | None = None
        sent, last = -1.0, False
        while True:
            share = self.share
            if share != sent:
                with suppress(Exception):  # whatever goes wrong here must not end the work; the next update tries again
                    artifact = self._sent(artifact, 100 * share)
                    sent = share
            if last:
                return
            last = self._ended.wait(SEND_SECONDS)

    def _sent(self, artifact: UUID | None, percent: float) -> UUID:
        if artifact is None:
            made = create_progress_artifact(percent, key="progress", description=self.what)
        else:
            made = update_progress_artifact(artifact, percent)
        assert isinstance(made, UUID)  # not a coroutine, because nothing here is asynchronous
        return made
