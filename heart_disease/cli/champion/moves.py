"""What the commands about the champion share: moving it, and describing a move."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from heart_disease import registry
from heart_disease.cli.output import write_json
from heart_disease.data import made_up
from heart_disease.model.errors import UnavailableError
from heart_disease.registry import ModelRef, Move
from heart_disease.reporting.terminal import wrapped
from heart_disease.serving.rehearsal import fresh_process


@dataclass(frozen=True)
class Moved:
    """A move of the champion. threshold: the probability from which on it answers yes.

    threshold_before: that of the version before; None if there was none, or if it no longer loads.
    """

    champion: ModelRef
    before: ModelRef | None
    threshold: float
    threshold_before: float | None

    def lines(self) -> list[str]:
        """What happened, and whether the answers begin elsewhere: then a patient may get another one."""
        before = self.before.version if self.before else "none"
        said = [f"{self.champion.name} version {self.champion.version}: champion; before: {before}"]
        here = f"It answers yes from {self.threshold:.3f} on; version {before}"
        if self.before and self.threshold_before is None:
            said.append(f"{here} cannot be asked from where it did.")
        elif self.threshold_before not in (None, self.threshold):
            said.append(f"{here} did from {self.threshold_before:.3f} on.")
        return said


def move(ref: ModelRef, expected: ModelRef | None, kind: registry.Kind, why: str, *, as_json: bool) -> None:
    """Make `ref` the champion, if it loads and scores, and say so; `expected` is the version that it replaces.

    Raises:
        UnavailableError: the store cannot be written, or the version does not load.
        MovedError: the champion is not `expected`.
    """
    registry.check_embedded_store(to_write=True)  # at once, not after the version was loaded
    patients = made_up.patients()
    with fresh_process() as server:
        model = registry.check_loads(ref, patients)
        server.check(ref, model, patients)
    moved = Moved(ref, expected, model.threshold, threshold_of(expected) if expected else None)
    registry.move_champion(ref, expected=expected, kind=kind, why=why)
    if as_json:
        write_json(moved)
        return
    first, *others = moved.lines()
    print(first)
    for line in others:
        print(wrapped(f"  {line}"))


def threshold_of(ref: ModelRef) -> float | None:
    """The probability from which on a version answers yes; None if it cannot be loaded."""
    try:
        return registry.load_model(ref).threshold
    except UnavailableError:
        return None


def how(one: Move) -> str:
    """The kind of a move, and who made it."""
    return one.kind if one.kind == "outside" else f"{one.kind} ({one.by})"


def local(when: str) -> str:
    """A time in ISO format, to the minute, in the time zone of this machine."""
    return datetime.fromisoformat(when).astimezone().strftime("%Y-%m-%d %H:%M")
