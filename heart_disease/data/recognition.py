"""Which published copy of this data a table is, found out by the patients in it.

Copies of this data share a header and a range of codes and mean different things. But none of them changes a patient's
age, blood pressure, cholesterol and heart rate, and these four tell the known patients of the study's four hospitals
apart. So a table's rows are looked up by them, and what a code or a label means in it is read off. A table whose
patients are not known is left to the validation, unless two correlations tell that its codes cannot be UCI's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heart_disease.data.copies import BLANKS, COPIES, LABELS, NAMES, Codes, Copy
from heart_disease.data.sites import SITES
from heart_disease.model import schema
from heart_disease.model.words import count

KEY = ["age", "trestbps", "chol", "thalach"]
LABEL = schema.LABEL.name
MOST_ROWS = 20_000  # no copy has a tenth of it
LEAST_KNOWN, SHARE_KNOWN = 5, 0.5  # rows, and their share, that must be known before anything is said
AGREE = 0.9  # share of the known rows that a copy's codes must get right
LABELS_AGREE = 0.97  # share of those rows whose label must be that of the patient
MIXED = 0.1  # share of rows in the codes of another copy from which on two are mixed
# Both correlations are +0.58 and +0.38 among the 303 patients, and -0.58 and -0.39 in the codes of Kaggle's heart.csv.
SIGNS = (("slope", "oldpeak"), ("cp", "exang"))
# Of 200,000 samples of 40 of those patients, none had both below this.
WRONG_SIGN, LEAST_FOR_SIGNS = -0.2, 40
SHOWN = 10
NUMBERING = re.compile(r"|index|unnamed: \d+", re.IGNORECASE)  # the name of a column that numbers the rows
DECIMAL_COMMA = re.compile(r"^(-?\d+),(\d+)$")


@dataclass(frozen=True, eq=False)
class Finding:
    """What a table was recognised as.

    title: the copy. known: how many of its rows are known patients. changes: what was translated, in words.
    refusal: why it cannot be used; empty if it can.
    frame: the patients in UCI codes, each once: float64, and the rows are numbered as they came.
    """

    title: str
    known: str
    changes: tuple[str, ...]
    refusal: str
    frame: pd.DataFrame

    def lines(self) -> list[str]:
        """What was found and done, a sentence each."""
        return [f"This is {self.title}: {self.known}.", *(f"  {change}" for change in self.changes)]


def recognise(frame: pd.DataFrame, *, drop_foreign: bool = False) -> Finding | None:
    """What `frame` is, with its cells as they came; None if its patients are not known, or if it is in UCI's codes.

    drop_foreign: leave out the rows that are in other codes than the rest, instead of refusing the table.
    """
    renamed = _renamed([str(name) for name in frame])
    if len(frame) > MOST_ROWS or not set(KEY) <= set(renamed.values()) or set(schema.BY_NAME) != set(NAMES):
        return None  # whoever declares other columns has other patients
    text = pd.DataFrame({new: _texts(frame[old]) for old, new in renamed.items()}, index=frame.index)
    rows = _known_rows(text)
    known = rows >= 0
    if known.sum() < LEAST_KNOWN or known.mean() < SHARE_KNOWN:
        return _of_strangers(frame, text, int(known.sum()))
    patients = _patients().iloc[rows[known]].set_axis(frame.index[known])
    decoded, right = {}, {}
    for copy in COPIES:
        decoded[copy.name] = _decoded(text, copy)
        right[copy.name] = _rows_agree(decoded[copy.name][known], patients)
        if right[copy.name].all():  # no other can be better, and no row is foreign
            break
    copy = max((one for one in COPIES if one.name in right), key=lambda one: right[one.name].mean())
    said = f"{int(known.sum())} of its {count(len(frame), 'row')} are known patients"
    if right[copy.name].mean() < AGREE:
        why = _in_no_codes(text[known], decoded["uci"][known], patients, right)
        return Finding("this data, but in the codes of no copy that is known", said, (), why, frame)
    cells, changes = decoded[copy.name], _renames(renamed)
    changes += _written_otherwise(frame, renamed)
    for name in (name for name in copy.codes if name in text):
        changes += _mapping(name, copy.codes_of(name), text[name])
    filled = patients[list(cells)].isna() & cells[known].notna()
    if filled.to_numpy().any():
        cells[known] = cells[known].mask(filled)
        changes.append(f"{count(int(filled.to_numpy().sum()), 'cell')} filled in by the copy, blank again")
    refusal = copy.lost
    if LABEL in text:
        meaning, wrong = _label(text.loc[known, LABEL], patients[LABEL], right[copy.name])
        refusal = refusal or wrong
        numbers = text[LABEL].map(LABELS[meaning]).astype("float64")
        cells[LABEL] = numbers.where(numbers.notna() | (text[LABEL] == ""), np.inf)
        if meaning != next(iter(LABELS)):
            changes.append(f"'{LABEL}': {meaning}")
    elsewhere = np.array([*right.values()]).any(axis=0)
    foreign = sorted(int(row) for row in frame.index[known][~right[copy.name] & elsewhere])
    if foreign and not drop_foreign:
        refusal = (
            refusal
            or f"{_rows(foreign)} in other codes than the rest; `heart convert` leaves them out with --drop-foreign"
        )
    extra = [str(name) for name in frame if str(name) not in renamed]
    if copy is COPIES[0] and not (changes or foreign or refusal or any(map(NUMBERING.fullmatch, extra))):
        return None
    # A cell that the copy's codes do not have stays as it is, for the validation to name.
    kept = cells.mask(np.isinf(cells), text[list(cells)]).drop(foreign)
    changes += [f"{count(len(foreign), 'row')} in other codes, left out"] * bool(foreign and drop_foreign)
    if extra:
        changes.append(f"left out: {', '.join(map(repr, extra))}")
    once = kept[~kept.sort_index().duplicated().reindex(kept.index)]
    if len(once) < len(kept):
        changes.append(f"{count(len(kept) - len(once), 'repeated row')} left out")
    return Finding(copy.title, said, tuple(changes), refusal, once)


def _of_strangers(frame: pd.DataFrame, text: pd.DataFrame, known: int) -> Finding | None:
    """A refusal if both `SIGNS` are the wrong way round in a table of patients that are not known."""
    said = []
    for pair in SIGNS:
        if not set(pair) <= set(text):
            return None
        both = text[list(pair)].apply(pd.to_numeric, errors="coerce").dropna()
        if len(both) < LEAST_FOR_SIGNS or (both.nunique() < 2).any():
            return None
        found = float(np.corrcoef(both.to_numpy().T)[0, 1])
        if found > WRONG_SIGN:
            return None
        said.append(f"'{pair[0]}' falls with '{pair[1]}' (correlation {found:+.2f})")
    why = f"{' and '.join(said)}, and both rise in UCI's codes: as in Kaggle's heart.csv, they mean something else"
    title = "a table of unknown patients, in codes that are not UCI's"
    return Finding(title, f"{known} of its {count(len(frame), 'row')} are known patients", (), why, frame)


def _renamed(names: Sequence[str]) -> dict[str, str]:
    """The names of columns, and the schema's names for them; a name that is right goes first."""
    found = {name: name for name in names if name in NAMES}
    for name in names:
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        for own, others in NAMES.items():
            if own not in found.values() and plain in (own, *others):
                found[name] = own
                break
    return found


def _texts(values: pd.Series) -> pd.Series:
    """Each cell in lower case, a number as short as it can be written; a blank one is empty."""
    found = {cell: _plain(cell) for cell in values.unique() if pd.notna(cell)}
    return pd.Series([found.get(cell, "") for cell in values], values.index, dtype="object")


def _plain(cell: object) -> str:
    text = DECIMAL_COMMA.sub(r"\1.\2", str(cell).strip().lower())
    try:
        number = float(text)
    except ValueError:
        return "" if text in BLANKS else text
    text = f"{number + 0.0:.10g}"  # -0.0 is 0
    return "" if text in BLANKS else text


def _written_otherwise(frame: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """In words: the signs for a missing value that are not blank cells, and decimal commas."""
    cells: Counter[str] = Counter()
    for name in names:
        for cell, n in frame[name].value_counts().items():
            cells[f"{cell:g}" if isinstance(cell, float) else str(cell).strip().lower()] += n
    changes = [f"{count(n, 'cell')} with '{sign}', blank" for sign, n in sorted(cells.items()) if sign in BLANKS[1:]]
    commas = sum(n for cell, n in cells.items() if DECIMAL_COMMA.search(cell))
    return changes + ([f"{count(commas, 'decimal comma')} read as points"] if commas else [])


@cache
def _patients() -> pd.DataFrame:
    """The known patients, float64; those that share their four measurements with another are not among them."""
    frame = pd.concat([pd.read_csv(path) for path in SITES.values()], ignore_index=True)
    frame = frame[list(schema.BY_NAME)].astype("float64")
    return frame[~frame[KEY].duplicated(keep=False) & frame[KEY].notna().all(axis=1)].reset_index(drop=True)


def _known_rows(text: pd.DataFrame) -> NDArray[np.int64]:
    """For each row the number of the known patient that it is (n,); -1 for none."""
    key = pd.DataFrame({name: pd.to_numeric(text[name], errors="coerce").astype("float64") for name in KEY})
    number = pd.Series(np.arange(len(_patients())), index=pd.MultiIndex.from_frame(_patients()[KEY]))
    return number.reindex(pd.MultiIndex.from_frame(key)).fillna(-1).to_numpy(np.int64)


def _decoded(text: pd.DataFrame, copy: Copy) -> pd.DataFrame:
    """The inputs as the codes of `copy` say, float64: NaN for a blank cell, infinity for one that they do not have."""
    found = {}
    for column in schema.COLUMNS:
        if column.name not in text:
            continue
        cells = text[column.name]
        if column.codes:
            codes = copy.codes_of(column.name)
            numbers, known = cells.map(codes).astype("float64"), cells.isin(codes)
        else:
            numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
            known = numbers.notna() | (cells == "")
        found[column.name] = numbers.where(known, np.inf)
    return pd.DataFrame(found, index=text.index)


def _agree(cells: pd.DataFrame, patients: pd.DataFrame) -> NDArray[np.bool_]:
    """Which cells are those of the known patients (n, columns); where a patient's cell is blank, any agrees."""
    ours, theirs = cells.to_numpy(), patients[list(cells)].to_numpy()
    agree: NDArray[np.bool_] = (np.abs(ours - theirs) < 1e-6) | np.isnan(theirs)
    return agree


def _rows_agree(cells: pd.DataFrame, patients: pd.DataFrame) -> NDArray[np.bool_]:
    return np.asarray(_agree(cells, patients).all(axis=1))


def _label(text: pd.Series, known: pd.Series, right: NDArray[np.bool_]) -> tuple[str, str]:
    """What the label means, and why it cannot be used; empty if it can. Only rows that are `right` are asked."""
    sick, written = known.to_numpy()[right] > 0, text.to_numpy()[right]
    shares = {}
    for meaning, values in LABELS.items():
        numbers = np.array([values.get(cell, np.nan) for cell in written])
        shares[meaning] = np.where(np.isnan(numbers), False, (numbers > 0) == sick).mean()
    meaning = max(shares, key=shares.__getitem__)
    if shares[meaning] >= LABELS_AGREE:
        return meaning, ""
    severe = np.array([cell in ("1", "yes", "true") for cell in written]) == (known.to_numpy()[right] >= 2)
    missed = int((sick & (known.to_numpy()[right] < 2)).sum())
    if severe.mean() >= LABELS_AGREE:
        return meaning, f"its label is num >= 2: it calls {count(missed, 'patient')} with heart disease healthy"
    wrong = round((1 - shares[meaning]) * len(sick))
    return meaning, f"its label is not that of {wrong} of the {len(sick)} patients, whatever it is taken to mean"


def _in_no_codes(
    text: pd.DataFrame, cells: pd.DataFrame, patients: pd.DataFrame, right: Mapping[str, NDArray[np.bool_]]
) -> str:
    """Why the codes of no copy fit: two kinds of rows, or the columns that differ, with an example each."""
    titles = {copy.name: copy.title for copy in COPIES}
    first, second, *_ = sorted(right, key=lambda name: -right[name].sum())
    if (right[second] & ~right[first]).mean() >= MIXED:
        parts = [f"{int(right[name].sum())} rows as in {titles[name]}" for name in (first, second)]
        return f"two codings are mixed, {' and '.join(parts)}"
    agree, parts = _agree(cells, patients), []
    for k, name in enumerate(cells):
        wrong = ~agree[:, k]
        if wrong.mean() > 1 - AGREE:
            pairs = zip(text[name][wrong], patients[name][wrong], strict=True)
            (ours, theirs), _ = Counter(pairs).most_common(1)[0]
            said = f"{ours or 'a blank'} for {schema.show(theirs)}"
            parts.append(f"'{name}' is wrong for {int(wrong.sum())} of {len(wrong)} known patients, mostly {said}")
    return "; ".join(parts) or "its rows differ from the known patients in several columns"


def _renames(renamed: Mapping[str, str]) -> list[str]:
    pairs = [f"'{old}' is '{new}'" for old, new in renamed.items() if old != new]
    return [f"columns: {', '.join(pairs)}"] if pairs else []


def _mapping(name: str, codes: Codes, text: pd.Series) -> list[str]:
    """What the values that occur in a column become, in words; nothing if they stay."""
    found = [(value, codes[value]) for value in sorted(text.unique()) if value and value in codes]
    pairs = [(value, "blank" if code is None else f"{code:g}") for value, code in found]
    changed = [f"{value} is {code}" for value, code in pairs if value != code]
    return [f"'{name}': {', '.join(changed)}"] if changed else []


def _rows(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
    return f"row{'s' * (len(numbers) > 1)} {shown} ({len(numbers)} in all) {'are' if len(numbers) > 1 else 'is'}"
