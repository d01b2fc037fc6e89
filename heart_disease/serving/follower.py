"""Which version the API answers with: the one of an alias, followed as it moves, or one for good.

A thread asks the store every few seconds. A new version is fetched, compared with its digest, and scores made-up
patients before it takes the place of the one before, by the change of one reference: a request has one of the two.
Where the store is away, or the new version is not good, the last good one goes on answering, and `problem` says why.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from heart_disease import registry
from heart_disease.model.errors import HeartError, UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from heart_disease.serving import made_up

log = logging.getLogger("heart")
POLL_SECONDS, FIRST_SECONDS = 2.0, 5.0
TOKEN = "HEART_API_TOKEN"  # noqa: S105


@dataclass(frozen=True)
class Loaded:
    """A version that answers. since: when it began to, ISO 8601, UTC."""

    ref: ModelRef
    model: PatientModel
    since: str


class Follower:
    """`now` is what answers, None before the first good version; `problem` is empty where all is well."""

    def __init__(self, version: str) -> None:
        """version: a number, or an alias to follow."""
        self.version = version
        self.now: Loaded | None = None
        self.problem = ""
        self._patients = made_up.patients()

    @property
    def is_fixed(self) -> bool:
        """Whether it is one version for good."""
        return self.version.isdecimal()

    def refresh(self) -> None:
        """Look where the alias is, and load what it points to if that is another version."""
        try:
            ref = registry.by_version(self.version) if self.is_fixed else registry.by_alias(self.version)
            if ref is None:
                raise UnavailableError(f"no version of '{registry.MODEL}' in {registry.uri()} is {self.version}")
            if self.now is None or ref != self.now.ref:
                model = registry.check_loads(ref, self._patients)
                before = self.now.ref.version if self.now else None
                self.now = Loaded(ref, model, datetime.now(UTC).isoformat(timespec="seconds"))
                called = "" if self.is_fixed else f" ({self.version})"
                log.info(
                    "serving %s version %s%s%s", ref.name, ref.version, called, f", before {before}" * bool(before)
                )
            problem = ""
        except Exception as error:  # whatever it is, the version that is loaded goes on
            # Of others than our own errors only the kind: nobody looked at what their words may give away.
            problem = str(error) if isinstance(error, HeartError) else type(error).__name__
        if problem and problem != self.problem:
            log.warning("%s: %s", f"still version {self.now.ref.version}" if self.now else "nothing to serve", problem)
        elif self.problem and not problem:
            log.info("all is well again")
        self.problem = problem

    def follow(self) -> None:
        """Refresh for ever, in a thread that ends with the process. Returns when it has looked once, or soon."""
        looked = threading.Event()

        def loop() -> None:
            while True:
                self.refresh()
                looked.set()
                time.sleep(POLL_SECONDS)

        threading.Thread(target=loop, name="follow", daemon=True).start()
        looked.wait(FIRST_SECONDS)  # a store that does not answer may take minutes to say so; /health answers meanwhile
