"""Snapshots: what was read elsewhere, kept in the user's cache under a digest of its bytes.

A read is one snapshot. Check, training and reproduction use its files, whatever happens to the original. A snapshot is
``DIGEST.json``, which names its files in order; two snapshots with the same bytes share them. All belong to this user
alone, because they are patients. Beyond `MOST_KEPT` bytes, the least recently used are deleted; last those that a
version learned from, because it cannot be trained again without them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heart_disease.data.remote import addresses, databases, objects, web
from heart_disease.data.remote.addresses import STORES, WEB, Address
from heart_disease.data.remote.patience import Patience, patiently
from heart_disease.model.errors import SourceError, UnavailableError

log = logging.getLogger("heart")
MOST_KEPT = 5 << 30  # bytes
LOCK = "write.lock"
STALE_SECONDS = 24 * 3600  # a read that takes longer was killed
PATIENCE = Patience()
LOOKING = Patience(attempts=1, silence=10, total=60)  # the next look comes soon


@dataclass(frozen=True)
class Snapshot:
    """What a read gave.

    source: the address, without passwords. taken: when, UTC, ISO 8601. digest: of its bytes. learned: whether a version
    of the model learned from it.
    """

    source: str
    taken: str
    digest: str
    paths: tuple[Path, ...]
    learned: bool = False

    @property
    def size(self) -> int:
        """Its bytes, as far as they are still there."""
        return sum(path.stat().st_size for path in self.paths if path.exists())


def take(source: str, patience: Patience = PATIENCE) -> Snapshot:
    """Read what is at an address.

    Raises:
        UsageError: it is no address that can be used.
        SourceError: there is nothing, it may not be read, or it is too long.
        UnavailableError: it does not answer, a password is not set, or the cache cannot be written.
    """
    address = addresses.parse(source)
    with _writing() as folder, tempfile.TemporaryDirectory(dir=folder, prefix=".") as place:
        taken = datetime.now(UTC).isoformat(timespec="seconds")
        found = patiently(lambda: _read(address, Path(place), patience), source, patience)
        if not all(path.stat().st_size for path in found):
            raise SourceError(f"'{source}' is empty; expected a header line and one line per patient.")
        names = [f"{_digest(path)}{addresses.suffix(path.name)}" for path in found]
        snapshot = Snapshot(source, taken, _together(names), tuple(folder / name for name in names))
        with _lock(folder):
            for path, kept in zip(found, snapshot.paths, strict=True):
                path.chmod(0o600)
                path.replace(kept)
            _note(folder, replace(snapshot, learned=_was_learned(folder, snapshot.digest)))
            _make_room(folder, MOST_KEPT, snapshot.digest)
    log.info("source    snapshot %s of %s", snapshot.digest[:8], source)
    return snapshot


def kept(digest: str, source: str) -> Snapshot | None:
    """The snapshot with this digest, as one of `source`; None if it is gone, or damaged."""
    folder = cache()
    with suppress(OSError, ValueError, LookupError):
        found = _noted(folder / f"{digest}.json")
        names = [f"{_digest(path)}{addresses.suffix(path.name)}" for path in found.paths]
        if _together(names) == digest and [path.name for path in found.paths] == names:
            os.utime(folder / f"{digest}.json")
            return replace(found, source=source)
    return None


def learned_from(digest: str) -> None:
    """Note that a version of the model learns from this snapshot, or is in use, so that it makes room last."""
    folder = cache()
    with suppress(OSError, ValueError, LookupError):  # it is gone: the run's tag says which it was
        if (folder / f"{digest}.json").exists():
            with _lock(folder):
                _note(folder, replace(_noted(folder / f"{digest}.json"), learned=True))


def state(source: str) -> str:
    """A digest that changes with what is at an address; it costs less than a read where a server helps.

    Raises:
        UsageError, SourceError, UnavailableError: as `take`.
    """
    address = addresses.parse(source)

    def look() -> str:
        secret = addresses.filled(address)
        if address.scheme in WEB:
            return web.state(address, secret, LOOKING)
        if address.scheme in STORES:
            return objects.state(address, LOOKING)
        return databases.state(address, secret, LOOKING)

    return hashlib.sha256(patiently(look, source, LOOKING).encode()).hexdigest()


def cache() -> Path:
    """The folder of the snapshots; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "heart-disease", "snapshots")


def every() -> list[Snapshot]:
    """All snapshots, the one that was used last first."""
    found = []
    for note in sorted(cache().glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(OSError, ValueError, LookupError):  # damaged
            found.append(_noted(note))
    return found


def empty() -> int:
    """Delete all snapshots; how many there were.

    Raises:
        UnavailableError: they cannot be deleted.
    """
    if not cache().is_dir():
        return 0
    with _writing() as folder, _lock(folder):
        notes = list(folder.glob("*.json"))
        for note in notes:
            note.unlink()
        _make_room(folder, 0)
    return len(notes)


def _was_learned(folder: Path, digest: str) -> bool:
    with suppress(OSError, ValueError, LookupError):
        return _noted(folder / f"{digest}.json").learned
    return False


def _read(address: Address, place: Path, patience: Patience) -> list[Path]:
    if address.scheme in STORES:
        return objects.read(address, place, patience)
    secret = addresses.filled(address)
    read = web.read if address.scheme in WEB else databases.read
    return read(address, secret, place, patience)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _together(names: list[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]


def _note(folder: Path, snapshot: Snapshot) -> None:
    """Write the note of a snapshot whose files are there."""
    said: Mapping[str, Any] = {
        "source": snapshot.source,
        "taken": snapshot.taken,
        "files": [path.name for path in snapshot.paths],
        "learned": snapshot.learned,
    }
    new = folder / f"{snapshot.digest}.part"
    new.touch(mode=0o600)
    new.write_text(json.dumps(said, indent=1), encoding="utf-8")
    new.replace(new.with_suffix(".json"))


def _noted(note: Path) -> Snapshot:
    said = json.loads(note.read_text(encoding="utf-8"))
    paths = tuple(note.parent / Path(name).name for name in said["files"])
    return Snapshot(said["source"], said["taken"], note.stem, paths, bool(said.get("learned")))


def _make_room(folder: Path, most: int, newest: str = "") -> None:
    """Delete snapshots until the rest has at most so many bytes: never `newest`, and last what was learned from.

    Among equals, the least recently used go first.
    """
    total, needed = 0, set[Path]()
    for found in sorted(every(), key=lambda one: (one.digest != newest, not one.learned)):
        new = {path for path in found.paths if path not in needed and path.exists()}
        total += sum(path.stat().st_size for path in new)
        if total <= most:
            needed |= {*new, folder / f"{found.digest}.json"}
        elif found.learned and most:
            log.warning(
                "source    snapshot %s of %s, which a version learned from, made room for others",
                found.digest[:8], found.source,
            )  # fmt: skip
    for path in folder.iterdir():
        if path.is_file() and path.name != LOCK and path not in needed:
            path.unlink()
        elif path.is_dir() and path.stat().st_mtime < time.time() - STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _writing() -> Any:
    folder = cache()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield folder
    except OSError as error:
        raise UnavailableError(
            f"the snapshots in '{folder}' cannot be written: {error.strerror or error}. Expected a folder with room "
            "that is yours; XDG_CACHE_HOME names another."
        ) from error


@contextmanager
def _lock(folder: Path) -> Any:
    from filelock import FileLock

    with FileLock(folder / LOCK):
        yield
