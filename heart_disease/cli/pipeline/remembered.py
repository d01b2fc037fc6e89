"""The champion without MLflow, whose import takes longer than all else that one patient needs.

MLflow is asked which version is champion, and its answer and the files, checked as always, are remembered in the user's
cache. They hold as long as nothing at all was written to the store since. SQLite counts that in its file: the *file
change counter*, which is there so that whoever keeps a cache knows when it is stale
(https://www.sqlite.org/fileformat.html). The store's tables are never read here; other stores are asked each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from heart_disease.model.patient_model import PatientModel

SQLITE = "sqlite:///"
MAGIC, JOURNAL_MODES, COUNTER = slice(0, 16), slice(18, 20), slice(24, 28)  # parts of the file's header
HEADER = 100


def champion() -> tuple[str, PatientModel]:
    """The champion as a message names it, ``heart-disease version 3``, and its model.

    Raises:
        UnavailableError: there is no champion, it cannot be used, or the store does not answer.
    """
    database = _database()
    before = _state(database) if database else None
    folder = _folder(database) if database else None
    if before and folder and (found := _recall(folder, before)):
        return found
    from heart_disease import registry

    ref = registry.champion()
    title, model = f"{ref.name} version {ref.version}", registry.load_model(ref)
    if database and folder:
        # Asking may itself have written, such as a new store's tables or an unfinished move: then ask once more.
        after = _state(database)
        if after and registry.find_champion() == ref and _state(database) == after:
            with suppress(OSError):  # then there is no cache
                _remember(folder, after, title, lambda place: registry.copy_model(ref, place))
    return title, model


def _database() -> Path | None:
    """The file of the SQLite store; None if the store is another one."""
    address = os.environ.get("MLFLOW_TRACKING_URI", f"{SQLITE}mlflow.db")
    other = os.environ.get("MLFLOW_REGISTRY_URI", address)
    if other != address or not address.startswith(SQLITE) or "?" in address:
        return None
    return Path(address.removeprefix(SQLITE)).absolute()


def _state(database: Path) -> list[Any] | None:
    """What changes with every write to the store; None if that cannot be known."""
    try:
        with database.open("rb") as file:
            header, known = file.read(HEADER), os.fstat(file.fileno())
    except OSError:
        return None
    beside = [database.with_name(f"{database.name}{end}") for end in ("-journal", "-wal")]
    # With a write-ahead log the counter would stand still. With a journal, a write is under way.
    if header[MAGIC] != b"SQLite format 3\0" or header[JOURNAL_MODES] != b"\1\1" or any(map(Path.exists, beside)):
        return None
    return [str(database), known.st_ino, known.st_size, known.st_mtime_ns, header[COUNTER].hex()]


def _folder(database: Path) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "heart-disease", hashlib.sha256(str(database).encode()).hexdigest()[:32])


def _recall(folder: Path, state: list[Any]) -> tuple[str, PatientModel] | None:
    try:
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():  # somebody else's may say anything
            return None
        known = json.loads((folder / "champion.json").read_text(encoding="utf-8"))
        if known["state"] != state or known["digests"] != _digests(folder):
            return None
        return str(known["title"]), PatientModel.load(folder)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _remember(folder: Path, state: list[Any], title: str, copy: Any) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=folder.parent))  # for this user alone
    try:
        copy(place)
        known = {"state": state, "title": title, "digests": _digests(place)}
        (place / "champion.json").write_text(json.dumps(known), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        place.rename(folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _digests(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.iterdir() if path.name != "champion.json")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
