"""`docs/columns.md`, from the schema: `python -m heart_disease.reporting.columns_page > docs/columns.md`."""

from __future__ import annotations

from heart_disease.model import schema
from heart_disease.model.encoding import input_names
from heart_disease.model.schema import Column

HEAD = """# Columns

This page is generated from [the schema](../heart_disease/model/schema.py) by
`python -m heart_disease.reporting.columns_page`.
A value that is not *allowed* stops a training, and `heart predict` reports the row instead of scoring it. A value that
is not *usual* causes a warning.

The network's {inputs} inputs are {numbers} numbers ({names})
and one input for each code of the other columns; a column that may be blank has one more.

| column | meaning | allowed | usual |
|---|---|---|---|
"""


def row(column: Column) -> str:
    """The table's line for one column."""
    allowed = "; ".join(f"{code} {meaning}" for code, meaning in column.codes.items()) or column.expected
    if column.optional:
        allowed += "; blank: missing"
    usual = "{:g} to {:g}".format(*column.usual) if column.usual else ""
    return f"| `{column.name}` | {column.meaning} | {allowed} | {usual} |"


def text() -> str:
    """The whole page, in Markdown."""
    numbers = [column.name for column in schema.COLUMNS if column.is_number]
    head = HEAD.format(
        inputs=len(input_names()), numbers=len(numbers), names=", ".join(f"`{name}`" for name in numbers)
    )
    return head + "".join(f"{row(column)}\n" for column in schema.BY_NAME.values())


if __name__ == "__main__":
    print(text(), end="")
