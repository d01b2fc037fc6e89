"""The validation's page: it says what was found, loads nothing, and escapes what came from the table."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd

from expectations.gate import validate
from heart_disease.data import sources
from heart_disease.model import schema
from heart_disease.reporting import validation_page
from tests.harness.data import patients
from tests.harness.data.judging import judge, put
from tests.harness.pages import numbers


class Reader(HTMLParser):
    """The text and the tags of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_says_what_was_found_and_loads_nothing() -> None:
    cleveland = validate(sources.load())
    html = validation_page.render(cleveland)
    read = Reader(html)
    assert "Passed: 303 patients can be used, with 3 warnings." in read.text
    assert "column 'thalach' has 202 in row 133 and 71 in row 246" in read.text
    assert cleveland.digest in read.text
    assert all(f"{column.meaning}{name}" in read.text for name, column in schema.BY_NAME.items())
    assert "1 male: 206 (68 %)" in read.text
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert "http" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_the_page_escapes_what_came_from_the_table() -> None:
    frame = put("chol", (3, "<script>x</script>"))(patients.make()).rename(columns={"age": "<img src=x>"})
    html = validation_page.render(validate(sources.make_table(frame, "/home/somebody/<b>march.csv")))
    read = Reader(html)
    assert not {"script", "img", "b"} & set(read.tags)
    assert "<script>x</script>" in read.text
    assert "<b>march.csv" in read.text
    assert "somebody" not in html  # where the file lies is nobody else's business
    assert "<img src=x>" in read.text
    assert "Refused: 120 patients cannot be used; there are 3 errors." in read.text


def test_the_page_copes_with_a_table_in_which_everything_is_wrong() -> None:
    frame = pd.DataFrame({"age": ["x"] * 3, "chol": [np.nan] * 3}, index=[1, 2, 3])
    assert "missing" in Reader(validation_page.render(judge(frame))).text


def test_what_the_page_says_of_each_column_and_of_the_whole_table_is_what_pandas_finds() -> None:
    frame = sources.load().frame
    html = validation_page.render(validate(sources.load()))
    said = numbers.text(html)

    def share(rows: pd.Series) -> str:
        return f"{round(100 * rows.mean(), 1):g} %"

    def cut(values: pd.Series) -> list[str]:
        """The left end, the width and the middle of a bar, in percent of what is allowed."""
        low, high = column.limits or (0, 0)
        ends = (100 * (values.quantile([0, 1, 0.5]) - low) / (high - low)).tolist()
        return [f"{one:.1f}" for one in (ends[0], ends[1] - ends[0], ends[2])]

    bars = re.findall(r'style="left:([\d.]+)%;width:([\d.]+)%"></i><i class="middle" style="left:([\d.]+)%"', html)
    expected_bars = []
    for name, column in schema.BY_NAME.items():
        cells = frame[name]
        if column.codes:
            counts = cells.value_counts()
            held = [f"{code} {words}: {counts[code]} ({share(cells == code)})"
                    for code, words in column.codes.items() if code in counts]  # fmt: skip
        else:
            held = [f"{cells.min():g} to {cells.max():g} {column.unit}, median {cells.median():g}"]
            rare = ~cells.between(*column.usual) if column.usual else cells.isna()
            if rare.any():
                held.append(f"{rare.sum()} {'cell' if rare.sum() == 1 else 'cells'} ({share(rare)}) outside the usual")
            expected_bars.append(tuple(cut(cells)))
        held += [f"{cells.isna().sum()} blank ({share(cells.isna())})"] * bool(cells.isna().any())
        assert f"{column.expected} " in said
        assert f" {' '.join(held)}" in said
    assert bars == expected_bars
    sick = frame["num"] > 0
    for words in (
        f"Patients {len(frame)} ",
        f"{share(frame.duplicated())} of the rows repeat another",
        f"of the patients with heart disease {share(sick)}",
        f"falls correlation {np.corrcoef(frame['thalach'], sick)[0, 1]:+.2f}",
        f"rises correlation {np.corrcoef(frame['oldpeak'], sick)[0, 1]:+.2f}",
    ):
        assert words in said
