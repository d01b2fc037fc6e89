"""What the commands about the champion share: moving it, and describing a move."""

from __future__ import annotations

from datetime import datetime

from heart_disease import registry
from heart_disease.model.errors import UnavailableError
from heart_disease.registry import ModelRef, Move
from heart_disease.reporting.terminal import wrapped
from heart_disease.serving import made_up
from heart_disease.serving.rehearsal import fresh_process


def move(ref: ModelRef, expected: ModelRef | None, kind: registry.Kind, why: str) -> None:
    """Make `ref` the champion, if it loads and scores, and say so; `expected` is the version that it replaces.

    If the two answer yes from different probabilities on, that is said as well: a patient may get another answer.

    Raises:
        UnavailableError: the store cannot be written, or the version does not load.
        MovedError: the champion is not `expected`.
    """
    registry.check_embedded_store(to_write=True)  # at once, not after the version was loaded
    patients = made_up.patients()
    with fresh_process() as server:
        model = registry.check_loads(ref, patients)
        server.check(ref, model, patients)
    answering = _answering(model.threshold, expected)
    registry.move_champion(ref, expected=expected, kind=kind, why=why)
    print(f"{ref.name} version {ref.version}: champion; before: {expected.version if expected else 'none'}")
    if answering:
        print(wrapped(f"  {answering}"))


def _answering(threshold: float, before: ModelRef | None) -> str:
    """From which probability on the answer is yes, in words, if it was another with the version before."""
    if before is None:
        return ""
    try:
        theirs = registry.load_model(before).threshold
    except UnavailableError:  # which may be why it is replaced
        return f"It answers yes from {threshold:.3f} on; version {before.version} cannot be asked from where it did."
    if theirs == threshold:
        return ""
    return f"It answers yes from {threshold:.3f} on; version {before.version} did from {theirs:.3f} on."


def how(one: Move) -> str:
    """The kind of a move, and who made it."""
    return one.kind if one.kind == "outside" else f"{one.kind} ({one.by})"


def local(when: str) -> str:
    """A time in ISO format, to the minute, in the time zone of this machine."""
    return datetime.fromisoformat(when).astimezone().strftime("%Y-%m-%d %H:%M")
