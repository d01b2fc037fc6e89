"""The files of a registered version: fetched, and refused unless they are the ones that were registered.

Write access to the artifact store must not be enough to run code here or to change what patients are told. So only
the kinds of files that this project's models consist of are accepted. None of them is executed or unpickled here
(shipped.py runs those of a version that was just written, once, in a process of its own). Together they must have the
digest that the registry recorded, and the registry is not kept in the artifact store.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.utils.file_utils import local_file_uri_to_path

from heart_disease.model.errors import UnavailableError
from heart_disease.registry.access.store import reachable

DIGEST = "artifact_digest"  # a tag of the version
KINDS = (".json", ".keras", ".npy", ".py", ".txt", ".yaml")  # MLflow's own way of loading needs the .py files
META = "registered_model_meta"  # MLflow adds it to every download and to a local store; nothing here reads it
CACHE = "__pycache__"  # Python leaves it in a local store when a user loads a version from there; it is not copied
RULE = "another version can be used: heart promote VERSION --because WHY, or heart rollback"


@contextmanager
def fetched(name: str, version: str) -> Iterator[Path]:
    """A temporary folder with the files of a version, checked to be the ones that were registered.

    Raises:
        UnavailableError: the files are different, the version has no digest, or the store does not answer.
    """
    with reachable():
        found = mlflow.MlflowClient().get_model_version(name, version)
    expected, which = found.tags.get(DIGEST), f"{name} version {version}"
    if not expected:
        raise UnavailableError(
            f"{which} was not loaded: it has no tag '{DIGEST}'; expected the digest of its files. It was registered "
            "before digests were recorded, or by another program. Register one that has it: heart train --force, and "
            "if that is not promoted: heart promote challenger --because WHY"
        )
    with download(f"models:/{name}/{version}") as folder:
        if not _files(folder):
            with reachable():
                place = local_file_uri_to_path(mlflow.MlflowClient().get_model_version_download_uri(name, version))
            raise UnavailableError(
                f"{which} was not loaded: its files are missing; expected them in {place}. Restore them, or use a "
                "version that still has its files: heart promote VERSION --because WHY, or heart rollback."
            )
        if strange := [path for path in _files(folder) if not _known(path)]:
            raise UnavailableError(
                f"{which} was not loaded: '{strange[0].relative_to(folder)}' in {found.source} has no business in a "
                f"model; expected only {', '.join(KINDS)} files. Find out who wrote it; {RULE}."
            )
        if (came := digest_of(folder)) != expected:
            raise UnavailableError(
                f"{which} was not loaded: its files in {found.source} have the digest {came[:12]}; expected "
                f"{expected[:12]}, as recorded when it was registered. They were changed or damaged since: restore "
                f"them; {RULE}."
            )
        yield folder


@contextmanager
def download(address: str) -> Iterator[Path]:
    """A temporary folder with an unchecked copy of the files, without Python's bytecode caches."""
    with tempfile.TemporaryDirectory() as temporary:
        with reachable():
            folder = Path(mlflow.artifacts.download_artifacts(address, dst_path=temporary))
        for cache in [path for path in folder.rglob(CACHE) if path.is_dir() and not path.is_symlink()]:
            shutil.rmtree(cache)
        yield folder


def digest_of(folder: Path) -> str:
    """SHA-256 of the paths and contents of all files, in hexadecimal."""
    digest = hashlib.sha256()
    for path in _files(folder):
        if path != folder / META:
            content = path.read_bytes()
            name = path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
            digest.update(b"%d %s %d " % (len(name), name, len(content)) + content)
    return digest.hexdigest()


def differing(sent: Path, came: Path) -> list[str]:
    """The files of `sent` that are missing from `came` or differ there."""
    names = [path.relative_to(sent) for path in _files(sent)]
    return [
        str(name)
        for name in names
        if not (came / name).is_file() or (came / name).read_bytes() != (sent / name).read_bytes()
    ]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def _known(path: Path) -> bool:
    return not path.is_symlink() and (path.suffix in KINDS or path.name in ("MLmodel", META))
