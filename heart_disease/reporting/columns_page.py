"""`docs/columns.md`, from the schema: `python -m heart_disease.reporting.columns_page > docs/columns.md`."""

from __future__ import annotations

from heart_disease.model import schema
from heart_disease.model.encoding import input_names
from heart_disease.model.schema import Column

HEAD = """# Columns

This page is generated from [the schema](../heart_disease/model/schema.py) by
`python -m heart_disease.reporting.columns_page`.
A value that is not *allowed* stops a training, and `heart predict` reports the row instead of scoring it. So does a
code that no patient of the training had, such as 0 for `cp`. A value that is not *usual* causes a warning.

The network's {inputs} inputs are {numbers} numbers ({names})
and one input for each code of the other columns; a column that may be blank has one more.

| column | meaning | allowed | usual |
|---|---|---|---|
"""
TAIL = """
## Codes of other copies

Many copies of this data are in circulation. They have the same columns, but their codes differ, and from one copy to
the next the same code means different things:

* `thal` 1, 2 and 3 are fixed, normal and reversible in one copy, and normal, fixed and reversible in another; a third
  has 0, 1 and 2 for normal, fixed and reversible.
* `slope` 0, 1 and 2 are down, flat and up in one copy, and up, flat and down in others.
* `cp` 0 is asymptomatic in one copy, and typical angina in others.
* In some copies a label of 1 means healthy. Those that are known have other codes in `cp`, `restecg`, `slope`, `ca` and
  `thal` too, so it is not enough to invert the label.

Neither the header, nor the codes that occur, nor the name of the file tells which copy it is. A wrong conversion passes
every check of single cells and makes a worse model. So a copy is recognised by the patients in it, and then translated
to the codes above, or refused. The codes of unknown patients are never translated on a guess: look up what they mean,
and say so with `--copy` ([copies](copies.md)).

Some mistakes show only in the table as a whole. `heart check` and `heart train` refuse 20 rows or more if over 40 % of
them have a code that is rare at the hospitals (`cp` 0, `restecg` 1). So does `heart predict`, because then the rows
that break no rule are doubtful too. It also refuses the whole file if over a quarter of the rows have a value of one
column that is not allowed, or if over 10 % of 50 rows or more are blank in `ca` or `thal`. `heart predict --anyway`
scores the rows that break no rule.

A patient who is in a file twice is an error among up to 1,000 rows. In larger files some patients agree in all columns
by chance: of 100,000 simulated ones about 10, of 1,000,000 about 1,200. How many chance explains is estimated from the
file itself (`expectations/repeats.py` says how), and only more than that is an error. Repeats by chance may fall into
training and test rows, as any two similar patients may.

Every cell that breaks a rule is counted; the first 1,000 of a rule are kept by row and value. Digests of rows and
patients have 64 bits and count numbers as 32-bit floats; they find repeats and changes, but are no defence against
somebody who makes two rows with the same digest on purpose.
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
    return head + "".join(f"{row(column)}\n" for column in schema.BY_NAME.values()) + TAIL


if __name__ == "__main__":
    print(text(), end="")
