"""Excel workbooks, written part by part, because nothing that is installed writes them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

TYPES = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def write(path: Path, *pages: Sequence[Sequence[Any]], start: tuple[int, int] = (1, 0), name: str = "Sheet") -> Path:
    """A workbook with these sheets, as Excel writes it.

    start: the first row, from 1, and column, from 0. name: that of each sheet, before its number.
    """
    numbers = range(1, len(pages) + 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("[Content_Types].xml", TYPES)
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{PACKAGE}"><Relationship Id="a" Type="{LINKS}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        listed = "".join(f'<sheet name="{escape(name)}{i}" sheetId="{i}" r:id="r{i}"/>' for i in numbers)
        book.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{LINKS}"><sheets>{listed}</sheets></workbook>'
        )
        linked = "".join(
            f'<Relationship Id="r{i}" Type="{LINKS}/worksheet" Target="worksheets/sheet{i}.xml"/>' for i in numbers
        )
        book.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{PACKAGE}">{linked}</Relationships>')
        for i, rows in enumerate(pages, 1):
            body = "".join(_row(start[0] + n, start[1], row) for n, row in enumerate(rows))
            book.writestr(
                f"xl/worksheets/sheet{i}.xml",
                f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>',
            )
    return path


def _row(number: int, first: int, cells: Sequence[Any]) -> str:
    found = []
    for i, cell in enumerate(cells, first):
        name = f"{chr(ord('A') + i)}{number}"
        if isinstance(cell, bool):
            found.append(f'<c r="{name}" t="b"><v>{int(cell)}</v></c>')
        elif isinstance(cell, str):
            found.append(f'<c r="{name}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>')
        elif cell is not None:
            found.append(f'<c r="{name}"><v>{cell}</v></c>')
    return f'<row r="{number}">{"".join(found)}</row>'
