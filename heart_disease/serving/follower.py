"""Which version the API answers with: that of an alias, followed as the alias moves, or a fixed one.

A thread asks the store every few seconds. A new version is fetched, compared with its digest, and has to score made-up
patients before it replaces the old one. One reference changes, so each request sees one version or the other. If the
store is away or the new version is not good, the last good one goes on answering, and `problem` says why.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from heart_disease import registry
from heart_disease.data import made_up
from heart_disease.model.errors import HeartError, UnavailableError
from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef

log = logging.getLogger("heart")
POLL_SECONDS, FIRST_SECONDS, LAST_SECONDS = 2.0, 5.0, 1.0  # between looks; the most for the first, for the last
TOKEN = "HEART_API_TOKEN"  # noqa: S105


@dataclass(frozen=True)
class Loaded:
    """A version that answers. since: when it began to answer, ISO 8601, UTC."""

    ref: ModelRef
    model: PatientModel
    since: str


class Follower:
    """`now` is the version that answers, None before the first good one; `problem` is empty if all is well."""

    def __init__(self, version: str, *, abstains: bool = False) -> None:
        """version: a number, or an alias to follow. abstains: see `PatientModel`."""
        self.version, self.abstains = version, abstains
        self.now: Loaded | None = None
        self.problem = ""
        self.is_unknown = False  # whether the store says that there is no such alias
        self._patients = made_up.patients()

    @property
    def is_fixed(self) -> bool:
        """Whether it always answers with one version."""
        return self.version.isdecimal()

    def refresh(self) -> None:
        """Look up the alias, and load the version that it points to if that is a different one."""
        try:
            ref = registry.by_version(self.version) if self.is_fixed else registry.by_alias(self.version)
            self.is_unknown = ref is None
            if ref is None:
                raise UnavailableError(f"no version of '{registry.MODEL}' in {registry.uri()} is '{self.version}'")
            if self.now is None or ref != self.now.ref:
                model = registry.check_loads(ref, self._patients)
                model = model.abstaining() if self.abstains else model
                before = self.now
                self.now = Loaded(ref, model, datetime.now(UTC).isoformat(timespec="seconds"))
                called = "" if self.is_fixed else f" ({self.version})"
                earlier = f", before {before.ref.version}" if before else ""
                if before and before.model.threshold != model.threshold:
                    earlier += f"; it answers yes from {model.threshold:.3f} on, not {before.model.threshold:.3f}"
                log.info("serving %s version %s%s%s", ref.name, ref.version, called, earlier)
            problem = ""
        except Exception as error:  # whatever happens, the loaded version goes on answering
            # Only our own errors are quoted. The text of others might reveal something private, so their type is said.
            problem = str(error) if isinstance(error, HeartError) else type(error).__name__
        if problem and problem != self.problem:
            log.warning("%s: %s", f"still version {self.now.ref.version}" if self.now else "nothing to serve", problem)
        elif self.problem and not problem:
            log.info("all is well again")
        self.problem = problem

    @contextmanager
    def following(self) -> Iterator[None]:
        """Refresh in a thread until the block ends. The block begins after the first look or FIRST_SECONDS."""
        looked, ended = threading.Event(), threading.Event()

        def loop() -> None:
            while not ended.is_set():
                self.refresh()
                looked.set()
                ended.wait(POLL_SECONDS)

        thread = threading.Thread(target=loop, name="follow", daemon=True)
        thread.start()
        # A store that does not answer may take minutes to say so: /health answers meanwhile, and the end does not wait.
        looked.wait(FIRST_SECONDS)
        try:
            yield
        finally:
            ended.set()
            thread.join(LAST_SECONDS)
