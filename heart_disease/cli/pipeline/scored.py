"""A file of patients -> its rows with answers: written to a file or shown, in the memory of a part of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from expectations.screen import Screen
from heart_disease.data import files, sources
from heart_disease.data.files import Batch, File
from heart_disease.data.sources import Rows
from heart_disease.data.writing import Writer
from heart_disease.model import schema
from heart_disease.model.errors import RejectedError, SourceError
from heart_disease.model.patient_model import PatientModel
from heart_disease.model.words import count, reason
from heart_disease.reporting.terminal import rows_bar, say, wrapped

TERMINAL_ROWS = 50
TERMINAL_ID = 30  # characters


@dataclass
class Scored:
    """What came of a file: how many rows have an answer, how many a problem, and the first of both.

    unusual: how many with an answer are flagged as unlike the patients of the training.
    own: of the first answers, the cells of the first column that is not one of the schema's; None if there is none.
    """

    rows: int = 0
    refused: int = 0
    unusual: int = 0
    blank_lines: int = 0
    answers: list[pd.DataFrame] = field(default_factory=list)
    problems: list[pd.DataFrame] = field(default_factory=list)
    own: list[str | None] = field(default_factory=list)

    def add(self, cells: Any, found: pd.DataFrame, own: str | None) -> None:
        """Count rows with these cells and answers."""
        answered = (found["problem"] == "").to_numpy()
        if (left := TERMINAL_ROWS - self.rows) > 0:
            rows = np.flatnonzero(answered)[:left]
            self.answers.append(found.iloc[rows])
            self.own += files.as_text(cells[own].take(rows)) if own else []
        if self.refused < TERMINAL_ROWS:
            self.problems.append(found[~answered].head(TERMINAL_ROWS - self.refused))
        self.rows += int(answered.sum())
        self.refused += int((~answered).sum())
        self.unusual += int((answered & (found["unusual"] != "")).sum())

    def join(self, below: Scored) -> None:
        """Add what came of the rows below these."""
        if (left := TERMINAL_ROWS - self.rows) > 0:
            self.answers += _head(below.answers, left)
            self.own += below.own[:left]
        if (left := TERMINAL_ROWS - self.refused) > 0:
            self.problems += _head(below.problems, left)
        self.rows += below.rows
        self.refused += below.refused
        self.unusual += below.unusual
        self.blank_lines += below.blank_lines


def _head(frames: list[pd.DataFrame], rows: int) -> list[pd.DataFrame]:
    return [pd.concat(frames).head(rows)] if frames else []


def look_through(file: File) -> Screen:
    """Read the file once, for what concerns all its rows.

    Raises:
        SourceError: it is damaged, has no rows, or cannot be read as a table.
    """
    with rows_bar("read", file.capacity) as add:
        return _screened(sources.rows_of(file), add)


def look_through_part(part: File) -> Screen:
    """Do as `look_through`, for one part of a folder."""
    return _screened(sources.rows_of_part(part), lambda rows: None)


def _screened(chunks: Iterable[Rows], add: Callable[[int], None]) -> Screen:
    screen = Screen()
    for rows in chunks:
        screen.add(rows)
        add(len(rows.index))
    return screen


def score(file: File, model: PatientModel, output: Path | None, prefix: str, words: set[str]) -> Scored:
    """Score the rows of `file`, in its order, and write them with their answers, if there is an output.

    words: the columns of the schema that hold something besides numbers.

    Raises:
        DataError: the file was changed meanwhile, lacks a column, or has no row that can be scored.
        UnavailableError: the output cannot be written.
    """
    typed = output is not None and output.suffix == ".parquet" and not file.is_parquet
    numbers = {name for name in file.columns if name in schema.BY_NAME and name not in words} if typed else set[str]()
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(output)) if output else None
        add = stack.enter_context(rows_bar("score", file.capacity))
        scored = _score(file, file.batches(), model, writer, prefix, numbers, add)
        check(scored, file)
    return scored


def score_part(part: File, model: PatientModel, output: Path | None, prefix: str, first: int, rows: int) -> Scored:
    """Do as `score`, for one part of a folder, in which no row may be there or can be scored.

    output: a Parquet file if the part is one, otherwise CSV; none is written if there are no rows.
    first: the number of its first row. rows: how many it had when it was looked through.

    Raises:
        DataError: it was changed meanwhile, or lacks a column.
        UnavailableError: the output cannot be written.
    """
    with Writer(output) if output and rows else nullcontext() as writer:
        scored = _score(part, part.batches_of_part(first), model, writer, prefix, set(), lambda rows: None)
        if scored.rows + scored.refused != rows:
            raise SourceError(f"'{part.paths[0]}' was changed while it was read. Expected a file that stays as it is.")
    return scored


def check(scored: Scored, file: File) -> None:
    """Refuse a file without a row that can be scored."""
    if not scored.rows:
        row, problem = next(scored.problems[0]["problem"].items())
        raise RejectedError(f"no row of '{file.source}' can be scored; row {row}: {problem}")


def _score(
    file: File,
    batches: Iterable[Batch],
    model: PatientModel,
    writer: Writer | None,
    prefix: str,
    numbers: set[str],
    add: Callable[[int], None],
) -> Scored:
    scored, own = Scored(), next((name for name in file.columns if name not in schema.BY_NAME), None)
    for batch in batches:
        rows = sources.rows_in(batch, file)
        found = model.predict(rows.frame)
        scored.add(batch.cells, found, own)
        scored.blank_lines += batch.blank_lines
        if writer:
            _write(writer, file, _columns(batch, rows, found, prefix, numbers))
        add(len(found))
    return scored


def _write(writer: Writer, file: File, cells: Any) -> None:
    try:
        writer.write(cells)
    except pa.ArrowException as error:
        raise SourceError(
            f"'{file.source}' has parts whose columns differ in type: {reason(error)}. Expected the types of the "
            "first one. Write the parts alike, or name a CSV file as the output."
        ) from error


def _columns(batch: Batch, rows: Rows, found: pd.DataFrame, prefix: str, numbers: set[str]) -> Any:
    """The columns to write: row number, the file's own cells as they came, answers."""
    held = {
        name: pa.array(rows.columns[name], from_pandas=True) if name in numbers else column
        for name, column in zip(batch.cells.column_names, batch.cells.columns, strict=True)
    }
    probability = pa.array(found["probability"], pa.float64(), from_pandas=True)
    words = {name: pa.array(found[name].to_numpy(), pa.string()) for name in ("disease", "problem", "unusual")}
    given = {prefix + name: column for name, column in {"probability": probability, **words}.items()}
    return pa.table({f"{prefix}row": pa.array(found.index), **held, **given})


def tell(scored: Scored, version: str, own: str | None, prefix: str, *, shown: bool) -> None:
    """Say how many rows were scored, show the first answers if asked for, and say why others have none."""
    if scored.blank_lines:
        say(f"{count(scored.blank_lines, 'blank row')} left out")
    say(f"{version}: {count(scored.rows, 'row')} scored")
    if shown:
        print(_table(scored, own, prefix))
        if scored.rows > TERMINAL_ROWS:
            say(f"... the first {TERMINAL_ROWS}; -o FILE writes all")
    for row, problem in pd.concat(scored.problems)["problem"].items():
        print(wrapped(f"row {row} not scored: {problem}"), file=sys.stderr)
    if scored.unusual:
        where = "marked with ! above" if shown else f"the column '{prefix}unusual' says how"
        print(wrapped(f"{count(scored.unusual, 'patient')} unlike those of the training: {where}"), file=sys.stderr)
    if scored.refused > TERMINAL_ROWS:
        print(f"... and {count(scored.refused - TERMINAL_ROWS, 'more row')} not scored", file=sys.stderr)


def _table(scored: Scored, own: str | None, prefix: str) -> str:
    """The first answers as a table for the terminal, with the first column that is the file's own."""
    found = pd.concat(scored.answers)
    table = found[["probability", "disease"]]
    table["probability"] = table["probability"].map("{:.3f}".format) + np.where(found["unusual"] == "", "", "!")
    table = table.rename_axis(index="row").reset_index().rename(columns=lambda name: prefix + name)
    if own is not None:
        table.insert(1, _short(own), [_short(text or "") for text in scored.own])
    return table.to_string(index=False)


def _short(text: str) -> str:
    """A cell in at most `TERMINAL_ID` characters, none of which moves the cursor."""
    plain = text if text.isprintable() else repr(text)[1:-1]
    return plain if len(plain) <= TERMINAL_ID else f"{plain[: TERMINAL_ID - 3]}..."
