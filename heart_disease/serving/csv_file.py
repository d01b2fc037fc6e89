"""A CSV file in the body of a request -> the same with answers, as `heart predict FILE -o OUT` writes them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
from fastapi import HTTPException

from expectations.screen import Screen
from heart_disease.data import files, sources
from heart_disease.data.files import File
from heart_disease.data.formats import text
from heart_disease.data.writing import Writer
from heart_disease.model import schema
from heart_disease.model.errors import DataError
from heart_disease.model.patient_model import PatientModel
from heart_disease.serving import patients

NAME = "patients.csv"  # what messages call the file
EXAMPLE = "\n".join(",".join(map(str, line)) for line in (patients.EXAMPLE, patients.EXAMPLE.values()))


def score(body: bytes, model: PatientModel) -> tuple[str, list[str]]:
    """The file with row numbers before and answers after its own cells, and the problem of each row.

    The file is in a temporary folder while this lasts.

    Raises:
        HTTPException: it cannot be read as a table, lacks a column, or seems to be in other codes.
    """
    if body.startswith((text.GZIP, text.ZIP)):
        raise HTTPException(422, "the file is packed; expected CSV as it is. Unpack it first.")
    with tempfile.TemporaryDirectory() as folder, _refused(folder):
        came, scored = Path(folder, NAME), Path(folder, "scored.csv")
        came.write_bytes(body)
        file = files.look(came)
        if taken := [name for name in schema.ANSWERS if name in file.columns]:
            raise HTTPException(422, f"the file has the column '{taken[0]}', as its answers do; rename it first")
        model.cells(pd.DataFrame(columns=list(file.columns)))  # refuses a file that lacks a column
        _doubt(file)
        problems: list[str] = []
        with Writer(scored) as writer:
            for batch in file.batches():
                found = model.predict(sources.rows_in(batch, file).frame)
                problems += found["problem"].tolist()
                own = dict(zip(batch.cells.column_names, batch.cells.columns, strict=True))
                given = {name: pa.array(found[name], from_pandas=True) for name in schema.ANSWERS[1:]}
                writer.write(pa.table({"row": pa.array(found.index), **own, **given}))
        return scored.read_bytes().decode(), problems  # not as text: that would change line breaks within cells


def _doubt(file: File) -> None:
    """Refuse a file whose rows may be wrong even if they break no rule."""
    found = sources.recognised(file)
    if found:
        finding, _ = found
        said = " ".join(line.strip() for line in finding.lines())
        why = f" Not usable: {finding.refusal}." if finding.refusal else ""
        can_be = not finding.refusal or "--copy" in finding.refusal
        then = " Score what `heart convert` makes of it." if can_be else ""
        raise HTTPException(422, f"nothing was scored. {said}{why}{then}")
    screen = Screen()
    for rows in sources.rows_of(file):
        screen.add(rows)
    if screen.may_be_doubted:
        raise HTTPException(
            422,
            "nothing was scored: so many cells of a column are blank, rare or not allowed that the file may be in "
            "other codes or units. `heart check FILE` says what is wrong; `heart predict FILE --anyway` scores it.",
        )


@contextmanager
def _refused(folder: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise HTTPException(422, str(error).replace(f"{Path(folder)}/", "")) from error
