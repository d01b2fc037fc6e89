"""The columns of a patient, declared once. Suites, encoder, messages and documentation derive from this.

Codes, meanings and units are those of the UCI Heart Disease data set (Janosi, Steinbrunn, Pfisterer and
Detrano, 1988, https://doi.org/10.24432/C52P4X). `limits` are what a living patient can have: a value outside
is an error of measurement or of typing. `usual` is what the Cleveland patients have: a value outside is
possible, but worth a look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `heart --help` names the columns, and one patient is scored without pandas
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Range = tuple[float, float]
# The columns around a file's own: the row's number before them, and what the model answers after them.
ANSWERS = ("row", "probability", "disease", "problem", "unusual")


@dataclass(frozen=True)
class Column:
    """One column: either a number between `limits`, or one of `codes`.

    `usual_share` maps a code to the share of rows above which there is a warning.
    `ordered` codes are used as a number (slope: up, flat, down). Only `optional` columns may be blank.
    """

    name: str
    meaning: str
    unit: str = ""
    limits: Range | None = None
    usual: Range | None = None
    codes: Mapping[int, str] = field(default_factory=dict)
    usual_share: Mapping[int, float] = field(default_factory=dict)
    ordered: bool = False
    optional: bool = False

    @property
    def is_number(self) -> bool:
        """Whether the encoder takes the value as it is, instead of one input per code."""
        return self.ordered or not self.codes

    @property
    def expected(self) -> str:
        """What a cell may hold, in words: ``3, 6, 7 or blank``, ``60 to 260 mm Hg``."""
        if self.limits is not None:
            low, high = self.limits
            return f"{low:g} to {high:g} {self.unit}".rstrip()
        allowed = [str(code) for code in self.codes] + (["blank"] if self.optional else [])
        return f"{', '.join(allowed[:-1])} or {allowed[-1]}" if len(allowed) > 1 else allowed[0]

    def in_words(self, value: float) -> str:
        """An allowed value in words: ``63 years``, ``fixed defect``, ``not known``."""
        if math.isnan(value):
            return "not known"
        return self.codes[int(value)] if self.codes else f"{value:g} {self.unit}"

    def says(self, value: float) -> str:
        """The column and a value in words: ``age: 63 years``."""
        return f"{self.meaning}: {self.in_words(value)}"


COLUMNS: tuple[Column, ...] = (
    Column("age", "age", "years", limits=(18, 100), usual=(28, 80)),
    Column("sex", "sex", codes={0: "female", 1: "male"}),
    Column(
        "cp",
        "chest pain type",
        codes={0: "unknown", 1: "typical angina", 2: "atypical angina", 3: "non-anginal pain", 4: "asymptomatic"},
        usual_share={0: 0.0},
    ),
    Column("trestbps", "resting blood pressure on admission", "mm Hg", limits=(60, 260), usual=(90, 200)),
    Column("chol", "serum cholesterol", "mg/dl", limits=(70, 700), usual=(120, 420)),
    Column("fbs", "fasting blood sugar over 120 mg/dl", codes={0: "no", 1: "yes"}),
    Column(
        "restecg",
        "resting electrocardiogram",
        codes={0: "normal", 1: "ST-T wave abnormality", 2: "left ventricular hypertrophy"},
        usual_share={1: 0.10},
    ),
    Column("thalach", "maximum heart rate achieved", "beats/min", limits=(40, 220), usual=(85, 200)),
    Column("exang", "angina induced by exercise", codes={0: "no", 1: "yes"}),
    Column("oldpeak", "ST depression by exercise, relative to rest", "mm", limits=(-3, 10), usual=(0, 4.5)),
    Column("slope", "slope of the peak exercise ST segment", codes={1: "up", 2: "flat", 3: "down"}, ordered=True),
    Column(
        "ca",
        "major vessels coloured by fluoroscopy",
        codes={0: "none", 1: "one", 2: "two", 3: "three"},
        optional=True,
    ),
    Column(
        "thal",
        "thallium scan",
        codes={3: "normal", 6: "fixed defect", 7: "reversible defect"},
        optional=True,
    ),
)

LABEL = Column(
    "num",
    "diameter narrowing; above 0 is heart disease",
    codes={0: "under 50 % in every vessel", 1: "over 50 %", 2: "over 50 %", 3: "over 50 %", 4: "over 50 %"},
)

INPUT_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
BY_NAME: Mapping[str, Column] = {column.name: column for column in (*COLUMNS, LABEL)}


def label(frame: pd.DataFrame) -> pd.Series:
    """1.0 if a patient has heart disease (``num > 0``), else 0.0; one value per row."""
    return (frame[LABEL.name] > 0).astype("float64")


def unparsable(values: pd.Series) -> pd.Series:
    """The cells that are neither blank nor a finite number, as a mask of the rows."""
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    return (numbers.isna() & values.notna()) | numbers.isin([float("inf"), float("-inf")])


def forbidden(values: pd.Series, column: Column) -> pd.Series:
    """The cells that `column` does not allow (text, blank, outside codes or limits), as a mask of the rows."""
    import pandas as pd

    return pd.Series(outside(numbers(values), column), index=values.index)


def numbers(values: pd.Series) -> NDArray[np.float64]:
    """The cells as numbers: NaN stands for a blank, infinity for anything else that is not a number."""
    import numpy as np
    import pandas as pd

    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":  # this is quick: a request has 13 columns
        return values.to_numpy("float64")
    found = pd.to_numeric(values, errors="coerce").to_numpy("float64", na_value=np.nan)
    return np.where(np.isnan(found) & values.notna(), np.inf, found)


def outside(cells: NDArray[np.float64], column: Column) -> NDArray[np.bool_]:
    """Do as `forbidden`, for cells that have been through `numbers`: (n,) -> (n,)."""
    import numpy as np

    if column.limits:
        low, high = column.limits
        return ~((cells >= low) & (cells <= high))
    allowed = np.isin(cells, list(column.codes))
    return ~(allowed | np.isnan(cells)) if column.optional else ~allowed


def holds(value: object) -> str:
    """What a message says of a cell: ``has 150``, ``has 'fixed'``, ``is blank``."""
    shown = show(value)
    return "is blank" if shown == "blank" else f"has {shown}"


def show(value: object) -> str:
    """A cell as a message shows it: ``150``, ``2.3``, ``'fixed'``, ``blank``."""
    if isinstance(value, Real):
        return "blank" if math.isnan(value) else f"{float(value):.15g}"
    import pandas as pd

    blank = pd.api.types.is_scalar(value) and pd.isna(value)  # type: ignore[call-overload]
    return "blank" if blank else repr(str(value))
