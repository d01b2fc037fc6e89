"""Where a file is read: in this process, or part by part on a Dask cluster, with the same result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import numpy as np

from heart_disease.data import files
from heart_disease.data.files import File
from heart_disease.model.errors import SourceError, UnavailableError, UsageError
from heart_disease.model.patient_model import PatientModel
from heart_disease.reporting.terminal import rows_bar
from heart_disease.search import dask_client

if TYPE_CHECKING:
    from expectations.gate import Validation
    from expectations.screen import Screen
    from heart_disease.cli.pipeline.scored import Scored


class Place(Protocol):
    """Looks at files of patients, validates and scores them. Errors are those of the functions that do it here."""

    def look(self, source: str | Path) -> File:
        """See `files.look`."""

    def validate(self, file: File) -> Validation:
        """See `gate.validate_file`."""

    def look_through(self, file: File) -> Screen:
        """See `scored.look_through`; before `score`."""

    def score(self, file: File, model: PatientModel, output: Path | None, prefix: str, words: set[str]) -> Scored:
        """See `scored.score`."""


class Here:
    """See `Place`."""

    def look(self, source: str | Path) -> File:  # noqa: D102
        return files.look(source)

    def validate(self, file: File) -> Validation:  # noqa: D102
        from expectations import gate

        return gate.validate_file(file)

    def look_through(self, file: File) -> Screen:  # noqa: D102
        from heart_disease.cli.pipeline import scored

        return scored.look_through(file)

    def score(self, file: File, model: PatientModel, output: Path | None, prefix: str, words: set[str]) -> Scored:  # noqa: D102
        from heart_disease.cli.pipeline import scored

        return scored.score(file, model, output, prefix, words)


@dataclass
class Cluster:
    """See `Place`. A task is a part of a folder; the scores of a part are written by its worker, as a part of a folder.

    client: Dask's. rows: of each part, known after `look_through`.
    """

    client: Any
    rows: tuple[int, ...] = ()

    def look(self, source: str | Path) -> File:
        """Have the workers look at the parts, which they find under the same path.

        Raises:
            UsageError: the source is no folder.
            SourceError: as `files.look`; or the workers have another file under that path.
        """
        if not Path(source).is_dir():
            raise UsageError(f"'{source}' with --dask: expected a folder of parts, which the workers share")
        paths = [path.absolute() for path in files.find(source)]
        found = []
        for path, (part, size) in zip(paths, self._over(_look, [(path,) for path in paths]), strict=True):
            if size != path.stat().st_size:
                raise SourceError(
                    f"'{path}' has {size} bytes where the workers are and {path.stat().st_size} here; expected one "
                    "folder that all machines share"
                )
            found.append(part)
        return files.together(source, found)

    def validate(self, file: File) -> Validation:  # noqa: D102
        from expectations import gate

        with rows_bar("check", file.capacity) as add:

            def found() -> Iterator[gate.Findings]:
                for part in self._over(gate.look_through, [(part,) for part in file.parts]):
                    add(part.statistics.rows)
                    yield part

            return gate.validate_parts(file, found())

    def look_through(self, file: File) -> Screen:  # noqa: D102
        from expectations.screen import Screen
        from heart_disease.cli.pipeline import scored

        screen, rows = Screen(), []
        with rows_bar("read", file.capacity) as add:
            for part in self._over(scored.look_through_part, [(part,) for part in file.parts]):
                screen.join(part)
                rows.append(part.rows)
                add(part.rows)
        if not screen.rows:
            raise SourceError(files.NO_ROWS.format(file.source))
        self.rows = tuple(rows)
        return screen

    def score(self, file: File, model: PatientModel, output: Path | None, prefix: str, words: set[str]) -> Scored:
        """Do as `scored.score`, but `output` is a new folder, with a part for each part of `file` (see `part_name`)."""
        from heart_disease.cli.pipeline import scored

        firsts = 1 + np.cumsum([0, *self.rows[:-1]])
        sent = replace(model, learned_from=model.learned_from[:0])  # it is not asked for a score
        whole = scored.Scored()
        with ExitStack() as stack:
            folder = stack.enter_context(_new_folder(output)) if output else None
            add = stack.enter_context(rows_bar("score", file.capacity))
            tasks = [
                (part, sent, folder / part_name(part.paths[0]) if folder else None, prefix, int(first), rows)
                for part, first, rows in zip(file.parts, firsts, self.rows, strict=True)
            ]
            for one, rows in zip(self._over(scored.score_part, tasks), self.rows, strict=True):
                whole.join(one)
                add(rows)
            scored.check(whole, file)
            if folder:
                names = [part_name(path) for path, rows in zip(file.paths, self.rows, strict=True) if rows]
                _check_there(folder, names)
        return whole

    def _over(self, work: Any, parts: list[tuple[Any, ...]]) -> Iterator[Any]:
        return dask_client.over_parts(self.client, work, parts)


@contextmanager
def place(address: str | None) -> Iterator[Place]:
    """The Dask cluster with its scheduler at `address`, or this process.

    Raises:
        UnavailableError: the cluster cannot be used.
    """
    if address is None:
        yield Here()
        return
    with dask_client.connected(address) as client:
        yield Cluster(client)


def part_name(path: Path) -> str:
    """What the answers about a part are called: like it, but CSV unless it is a Parquet file."""
    return path.name if path.suffix.lower() in (".csv", ".parquet") else f"{path.stem}.csv"


def _look(path: Path) -> tuple[File, int]:
    [found] = files.find(path)
    return files.look_at(found), found.stat().st_size


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A hidden folder beside `output`, which takes its name at the end; an error or Ctrl-C deletes it."""
    folder = output.absolute().with_name(f".{output.name}.{uuid4().hex[:12]}.part")
    folder.mkdir()
    try:
        yield folder
        for left in folder.glob(".*"):  # a worker that was killed left it
            left.unlink()
        folder.rename(output)
    finally:
        if folder.exists():
            # A worker that still writes finds its path gone.
            gone = folder.rename(folder.with_name(f".{output.name}.{uuid4().hex[:12]}.part"))
            shutil.rmtree(gone, ignore_errors=True)


def _check_there(folder: Path, names: list[str]) -> None:
    if lost := [name for name in names if not os.access(folder / name, os.R_OK)]:
        raise UnavailableError(
            f"the workers have written {lost[0]} in '{folder.parent}', and it is not there on this machine; expected a "
            "folder that all machines share. Name one."
        )
