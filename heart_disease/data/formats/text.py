"""The mess of files -> clean UTF-8 lines: packed, in another encoding, with other separators, without a header.

A form is told from the file's first bytes and lines, and named in `Form.notes`. What stands in a cell is not touched.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heart_disease.model import schema
from heart_disease.model.errors import SourceError

MOST_UNPACKED = 1 << 30  # bytes; 10 million patients have 0.5 GB
START, PIECE = 1 << 16, 1 << 20  # bytes that are looked at, and that are unpacked at once
SAMPLE_LINES = 20
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
MISSING = frozenset({"", "?", "NA", "na", "NaN", "nan", "-9", "-9.0"})
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
# What other kinds of files begin with, once they are unpacked, and what to do with them.
OTHERS = {
    **{b"BZh%d1AY" % n: "packed with bzip2; expected gzip, zip or neither. Unpack it." for n in range(1, 10)},
    b"\xfd7zXZ\0": "packed with xz; expected gzip, zip or neither. Unpack it.",
    b"(\xb5/\xfd": "packed with zstd; expected gzip, zip or neither. Unpack it.",
    b"7z\xbc\xaf": "a 7z archive; expected gzip, zip or neither. Unpack it.",
    GZIP: "packed twice; expected once. Unpack it.",
    ZIP: "packed twice; expected once. Unpack it.",
    b"PAR1": "a Parquet file; expected CSV. Name it *.parquet, and do not pack it.",
    b"{": "JSON; expected CSV. Write one object per line, and name the file *.jsonl.",
    b"[{": "JSON; expected CSV. Write one object per line, and name the file *.jsonl.",
    b"<": "a web page or XML; expected CSV. Export it again as CSV.",
}
TAR = slice(257, 262), b"ustar"
NAMED_SEPARATOR = re.compile(r"sep=([,;\t|])\s*", re.IGNORECASE)  # Excel's own first line
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
WINDOWS = "cp1252"  # Latin-1 with signs where that has control characters
NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
IS_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True)
class Form:
    """How the text of a file is packed and laid out.

    packed: ``gzip``, ``zip`` or nothing. encoding: Python's name. separator: between cells. quoted: every line is in
    quotes as a whole. headless: there is no header; the 14 columns are those of UCI's own files, in their order.
    told: the first line names the separator, and is not the header.
    """

    packed: str = ""
    encoding: str = "utf-8"
    separator: str = ","
    quoted: bool = False
    headless: bool = False
    told: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual about it, a clause each; nothing about a plain CSV file."""
        found = {
            f"packed with {self.packed}": self.packed,
            f"text in {self.encoding}": self.encoding != "utf-8",
            f"{SEPARATORS[self.separator]} between its columns": self.separator != ",",
            "each line in quotes": self.quoted,
            "no header: its columns fit those of UCI's files, in their order": self.headless,
        }
        return tuple(note for note, holds in found.items() if holds)


PLAIN = Form()


def form_of(path: Path) -> Form:
    """Look at the beginning of the file.

    Raises:
        SourceError: it is damaged, holds several files or a sheet, or has neither a header nor UCI's columns.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    packed = "gzip" if magic.startswith(GZIP) else "zip" if magic == ZIP else ""
    with binary(path, Form(packed)) as stream:
        start = stream.read(START)
    _refuse_others(path, start)
    encoding = "utf-16" if start.startswith(UTF16) else "utf-8"
    text = start.decode(encoding, errors="replace").removeprefix("\ufeff")
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    lines = lines[: max(1, min(SAMPLE_LINES, len(lines) - (len(start) == START)))]  # the last may be cut off
    quoted = len(lines) > 1 and all(_is_quoted(line) for line in lines)
    if quoted:
        lines = [line.strip()[1:-1].replace('""', '"') for line in lines]
    if lines and (told := NAMED_SEPARATOR.fullmatch(lines[0])):
        return Form(packed, encoding, told[1], quoted, told=True)
    separator, headless = _layout(path, lines)
    return Form(packed, encoding, separator, quoted, headless)


def _refuse_others(path: Path, start: bytes) -> None:
    """Refuse a file of another kind by its first bytes."""
    where, sign = TAR
    if start[where] == sign:
        raise SourceError(f"'{path}' is a tar archive; expected one CSV file. Unpack it.")
    plain = re.sub(rb"^\s*(\[?)\s*", rb"\1", start.removeprefix(codecs.BOM_UTF8))  # JSON may be over several lines
    for begin, what in OTHERS.items():
        if plain.startswith(begin):
            raise SourceError(f"'{path}' is {what}")


def binary(path: Path, form: Form) -> io.BufferedIOBase:
    """The file's bytes as UTF-8 text: unpacked, recoded, and without the quotes around whole lines.

    Raises:
        SourceError: it is damaged, or unpacks to more than `MOST_UNPACKED` bytes; also while it is read.
        UnicodeDecodeError: it is not in that encoding; only while it is read.
        OSError: it cannot be read.
    """
    if not form.packed and form.encoding == "utf-8" and not (form.quoted or form.told):
        return path.open("rb")
    pieces = _unpacked(path, form.packed)
    if form.encoding != "utf-8":
        pieces = _recoded(pieces, form.encoding)
    if form.quoted:
        pieces = _unquoted(pieces)
    if form.told:
        pieces = _without_first_line(pieces)
    return io.BufferedReader(_Stream(pieces), PIECE)


def opened(path: Path, form: Form) -> io.TextIOWrapper:
    """Do as `binary`, but give text with its line ends as they are."""
    return io.TextIOWrapper(binary(path, form), encoding="utf-8-sig", newline="")  # type: ignore[arg-type]


def is_windows(block: bytes) -> bool:
    """Whether these bytes, which are not UTF-8, can be Windows-1252, and not a damaged UTF-8 text."""
    if NO_TEXT.search(block) or IS_UTF8.search(block):
        return False
    try:
        block.decode(WINDOWS)
    except UnicodeDecodeError:
        return False
    return True


class _Stream(io.RawIOBase):
    """A file of pieces that are made when they are needed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        n = min(len(buffer), len(self._left))
        buffer[:n] = self._left[:n]
        self._left = self._left[n:]
        return n

    def close(self) -> None:
        if not self.closed:
            self._pieces.close()  # type: ignore[attr-defined]
        super().close()


def _unpacked(path: Path, packed: str) -> Iterator[bytes]:
    done = 0
    try:
        with path.open("rb") as file, _inside(path, file, packed) as stream:
            while piece := stream.read(PIECE):
                done += len(piece)
                if packed and done > MOST_UNPACKED:
                    raise _too_long(path)
                yield piece
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        if not packed:
            raise
        raise SourceError(f"'{path}' cannot be unpacked: {error}. Pack it again, or unpack it yourself.") from error


def _too_long(path: Path) -> SourceError:
    return SourceError(
        f"'{path}' unpacks to more than {MOST_UNPACKED:,} bytes; expected a file of patients. If it is one, unpack it "
        "yourself."
    )


def _inside(path: Path, file: io.BufferedReader, packed: str) -> io.BufferedIOBase:
    if packed == "gzip":
        return gzip.GzipFile(fileobj=file)
    if packed != "zip":
        return file
    archive = zipfile.ZipFile(file)
    names = [one.filename for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX")]
    if "[Content_Types].xml" in names:
        raise SourceError(f"'{path}' is an Excel sheet; expected a CSV file. Name it *.xlsx, or export it as CSV.")
    if len(names) != 1:
        raise SourceError(f"'{path}' is a zip archive with {len(names)} files; expected one CSV file. Unpack it.")
    if archive.getinfo(names[0]).file_size > MOST_UNPACKED:  # it may say less than it holds
        raise _too_long(path)
    return archive.open(names[0])  # type: ignore[return-value]


def _recoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for piece in pieces:
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", final=True).encode()


def _unquoted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    with io.BufferedReader(_Stream(pieces), PIECE) as lines:
        for line in lines:
            body = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n ")
            end = line[len(line.rstrip(b"\r\n")) :]
            if body.startswith(b'"') and body.endswith(b'"') and len(body) > 1:
                body = body[1:-1].replace(b'""', b'"')
            yield body + end


def _without_first_line(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The text with an empty first line, so that the numbers of the others stay."""
    first = b""
    for piece in pieces:
        first += piece
        if ends := [end for sign in (b"\n", b"\r") if (end := first.find(sign)) >= 0]:
            yield first[min(ends) :]
            break
    yield from pieces


def _is_quoted(line: str) -> bool:
    """Whether a line is one cell in quotes, which holds several cells."""
    body = line.strip()
    if len(body) < 2 or body[0] != '"' or body[-1] != '"':
        return False
    inside = body[1:-1].replace('""', "")
    return '"' not in inside and any(inside.count(separator) >= 4 for separator in ",;\t|")


def _layout(path: Path, lines: Sequence[str]) -> tuple[str, bool]:
    """What separates the columns, and whether the first line is already a patient."""
    first = lines[0] if lines else ""
    for separator in SEPARATORS:
        rows = [line.strip().split(separator) for line in lines]
        if len(rows[:1]) and len(rows[0]) == len(schema.BY_NAME) and all(_is_number(cell) for cell in rows[0]):
            if not all(_is_patient(row) for row in rows):
                raise SourceError(
                    f"'{path}' has no header, and its columns do not fit UCI's ({', '.join(schema.BY_NAME)}). Put a "
                    "line with the names of its columns on top."
                )
            return separator, True
    try:
        names = next(csv.reader([first]), [])
    except csv.Error:
        return ",", False
    if len(names) == 1:
        return next((mark for mark in ";\t|" if mark in first), ","), False
    return ",", False


def _number(cell: str) -> float | None:
    text = cell.strip()
    try:
        return None if text in MISSING else float(text.replace(",", "."))
    except ValueError:
        return np.inf


def _is_number(cell: str) -> bool:
    return _number(cell) != np.inf


def _is_patient(row: Sequence[str]) -> bool:
    """Whether the cells fit UCI's columns in their order; a missing one always does."""
    if len(row) != len(schema.BY_NAME):
        return False
    for cell, column in zip(row, schema.BY_NAME.values(), strict=True):
        number = _number(cell)
        # Some hospitals write 0 for what they did not measure, such as UCI's for the cholesterol.
        missing = number is None or (number == 0 and column.limits is not None)
        if not missing and schema.outside(np.array([number]), column)[0]:
            return False
    return True
