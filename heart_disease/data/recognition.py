"""Which published copy of this data a table is, found out by the patients in it.

Copies of this data share a header and a range of codes and mean different things. But none of them changes a patient's
age, blood pressure, cholesterol and heart rate, and these four tell the known patients of the study's four hospitals
apart. So a table's rows are looked up by them, and what a code or a label means in it is read off. A table whose
patients are not known is judged by its codes and correlations (copies/strangers.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heart_disease.data.copies import strangers, translation
from heart_disease.data.copies.published import BY_NAME, COPIES, LABELS, NAMES, Copy
from heart_disease.data.copies.strangers import AGREE
from heart_disease.data.copies.translation import LABEL, Finding, Text
from heart_disease.data.sites import SITES
from heart_disease.model import schema
from heart_disease.model.errors import UsageError
from heart_disease.model.words import count

KEY = ["age", "trestbps", "chol", "thalach"]
MOST_ROWS = 20_000  # at most so many rows are looked at; no copy has a tenth of it
LEAST_KNOWN, SHARE_KNOWN = 5, 0.5  # rows, and their share, that must be known before a copy is recognised
LABELS_AGREE = 0.97  # share of those rows whose label must be that of the patient
MIXED = 0.1  # if another copy's codes are in this share of rows, two copies are mixed
ODD_ROWS, ODD_SHARE = 2, 0.01  # rows, and their share, that may differ from what is known of the patients
MOST = 0.5  # share of a few known rows that must be right
NUMBERING = re.compile(r"|index|unnamed: \d+", re.IGNORECASE)  # the name of a column that numbers the rows
CANDIDATES = [copy for copy in COPIES if copy.codes or copy is COPIES[0]]  # the others have UCI's codes


def recognise(
    frame: pd.DataFrame, *, drop_foreign: bool = False, declared: str | None = None, force: bool = False
) -> Finding | None:
    """What `frame` is, with its cells as they came; None if it is in UCI's codes, as far as can be told.

    drop_foreign: leave out the rows that are in other codes than the rest, instead of refusing the table. declared: the
    name of the copy that it is said to be; if the evidence says something else, it is refused, unless `force`.

    Raises:
        UsageError: there is no copy of that name.
    """
    if declared is not None and declared not in BY_NAME:
        raise UsageError(f"copy '{declared}': expected one of {', '.join(BY_NAME)}; see docs/copies.md")
    if set(schema.BY_NAME) != set(NAMES):
        return None  # whoever declares other columns has other patients
    said = BY_NAME[declared] if declared else None
    if len(frame) > MOST_ROWS:
        found = _recognised(Text.of(frame.iloc[:: -(-len(frame) // MOST_ROWS)]), drop_foreign, said, force)
        if found is None or found.refusal:
            return found and replace(found, known=f"{found.known} (of {len(frame)}, these were looked at)", frame=frame)
    return _recognised(Text.of(frame), drop_foreign, said, force)


def _recognised(table: Text, drop_foreign: bool, said: Copy | None, force: bool) -> Finding | None:
    if not set(KEY) <= set(table.cells):
        return strangers.judge(table, 0, said, force) if said else None
    rows = _known_rows(table.cells)
    known = rows >= 0
    n = int(known.sum())
    if not n or known.mean() < SHARE_KNOWN:
        return strangers.judge(table, n, said, force)
    patients = _patients().iloc[rows[known]].set_axis(table.cells.index[known])
    found = _of_known(table, known, patients, drop_foreign, said)
    # What is believed by force is only what would be refused: otherwise repeated patients would come back.
    return strangers.judge(table, n, said, force) if said and force and found and found.refusal else found


def _of_known(
    table: Text, known: NDArray[np.bool_], patients: pd.DataFrame, drop_foreign: bool, said: Copy | None
) -> Finding | None:
    """Judge a table, most of whose rows are known: `known` (n,) are these patients."""
    n = len(patients)
    if n < LEAST_KNOWN:
        return _of_few(table, known, patients, said)
    cells, right = {}, {}
    for copy in CANDIDATES:
        cells[copy.name] = table.decoded(copy)
        right[copy.name] = _rows_agree(cells[copy.name][known], patients)
        if right[copy.name].all():  # no other can be better, and no row is foreign
            break
    copy = BY_NAME[max(right, key=lambda name: right[name].mean())]
    explained = np.any([*right.values()], axis=0).mean()
    if right[copy.name].mean() < AGREE and not (drop_foreign and explained >= AGREE):
        why = _in_no_codes(table.cells[known], cells["uci"][known], patients, right)
        title = "this data, but in the codes of no copy that is known"
        return Finding(title, table.known(n), (), why, table.frame)
    if said and said.codes != copy.codes:
        why = f"its patients say {copy.title}, and --copy says {said.title}; leave --copy out, or {strangers.FORCE}"
        return Finding(copy.title, table.known(n), (), why, table.frame)
    return _translated(table, known, patients, copy, cells[copy.name], right, drop_foreign)


def _translated(
    table: Text,
    known: NDArray[np.bool_],
    patients: pd.DataFrame,
    copy: Copy,
    cells: pd.DataFrame,
    right: Mapping[str, NDArray[np.bool_]],
    drop_foreign: bool,
) -> Finding | None:
    """The table as `copy`, whose codes make `cells` of it; `known` (n,) of its rows are these patients.

    right: which of these rows are right in the codes of each copy.
    """
    changes, refusal = table.in_words(copy), copy.lost
    filled = patients[list(cells)].isna() & cells[known].notna()
    if filled.to_numpy().any():
        cells[known] = cells[known].mask(filled)
        changes.append(f"{count(int(filled.to_numpy().sum()), 'cell')} filled in by the copy, blank again")
    foreign, why = _foreign(known, patients, cells, right, right[copy.name])
    if not refusal and (order := strangers.backwards(cells[~known])):
        refusal = f"of its {count(int((~known).sum()), 'unknown patient')}, {order[0]}"
    if LABEL in table.cells:
        meaning, wrong = _label(table.cells.loc[known, LABEL], patients[LABEL], right[copy.name])
        refusal = refusal or wrong
        cells[LABEL] = table.labels(meaning)
        if meaning != next(iter(LABELS)):
            changes.append(f"'{LABEL}': {meaning}")
    if foreign and not drop_foreign:
        refusal = refusal or f"{why}; `heart convert` leaves them out with --drop-foreign"
    numbering = any(map(NUMBERING.fullmatch, table.extra))
    if copy is COPIES[0] and not (changes or foreign or refusal or numbering):
        return None
    kept = table.kept(cells).drop(foreign)
    changes += [f"{count(len(foreign), 'row')} left out: {why}"] * bool(foreign and drop_foreign)
    changes += table.without_extra()
    once = kept[~kept.sort_index().duplicated().reindex(kept.index)]
    if len(once) < len(kept):
        changes.append(f"{count(len(kept) - len(once), 'repeated row')} left out")
    return Finding(copy.title, table.known(int(known.sum())), tuple(changes), refusal, once)


def _foreign(
    known: NDArray[np.bool_],
    patients: pd.DataFrame,
    cells: pd.DataFrame,
    right: Mapping[str, NDArray[np.bool_]],
    agree: NDArray[np.bool_],
) -> tuple[list[int], str]:
    """The rows that do not belong to the rest, and why; for the other arguments see `_translated`.

    agree: which of the known rows are right. The others are in the codes of another copy; if more than a few are in
    none, somebody has changed them, or has a second coding. A patient whose row is there again with one measurement
    changed would be in training and test.
    """
    odd, numbers = ~agree, cells.index[known]
    elsewhere, many = odd & np.array([*right.values()]).any(axis=0), odd.sum() > max(ODD_ROWS, ODD_SHARE * len(odd))
    if many and (odd & ~elsewhere).any():
        where = str(list(cells)[int((~_agree(cells[known], patients))[odd].sum(axis=0).argmax())])
        return _named(numbers[odd], f"not what is known of these patients, mostly in '{where}'")
    if elsewhere.any():
        return _named(numbers[elsewhere], "in other codes than the rest")
    changed = np.zeros(0, bool) if known.all() else _changed_in_one(cells[~known])
    if changed.sum() > max(ODD_ROWS, ODD_SHARE * len(cells)):
        return _named(cells.index[~known][changed], "known patients again, with one measurement changed")
    return [], ""


def _named(numbers: pd.Index, what: str) -> tuple[list[int], str]:
    rows = sorted(map(int, numbers))
    return rows, f"{translation.rows_in_words(rows)} {what}"


def _changed_in_one(cells: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows (n,) have all inputs of a known patient except one of the four measurements."""
    found = np.zeros(len(cells), bool)
    for name in KEY:
        others = [one for one in cells if one != name]
        ours, theirs = (pd.MultiIndex.from_frame(one[others].fillna(-1.0)) for one in (cells, _patients()))
        found |= ours.isin(theirs)
    return found


def _of_few(table: Text, known: NDArray[np.bool_], patients: pd.DataFrame, said: Copy | None) -> Finding | None:
    """Judge a few rows, most of them known: too few to tell a copy, but enough to tell that the codes are not UCI's."""
    right = {copy.name: _rows_agree(table.decoded(copy)[known], patients).mean() for copy in CANDIDATES}
    if right[said.name if said and said.codes else "uci"] > MOST:
        return strangers.judge(table, int(known.sum()), said, force=False) if said else None
    fits = [BY_NAME[name] for name, share in right.items() if share == 1]
    which = strangers.in_words(fits) if fits else "no copy that is known"
    codes = f"those of {said.title}" if said else "UCI's codes"
    why = f"what it says of them is not in {codes}. It may be in those of {which}"
    return Finding("this data in other codes", table.known(int(known.sum())), (), why, table.frame)


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


def _agree(cells: pd.DataFrame, patients: pd.DataFrame) -> NDArray[np.bool_]:
    """Which cells are those of the known patients (n, columns); if a patient's cell is blank, any agrees."""
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
        _, where = _named(text.index[right[second] & ~right[first]], "in the second one")
        mixed = f"two codings are mixed, {' and '.join(parts)}; {where}"
        return f"{mixed}; `heart convert` leaves out whatever is not in the first one with --drop-foreign"
    agree, parts = _agree(cells, patients), []
    for k, name in enumerate(cells):
        wrong = ~agree[:, k]
        if wrong.mean() > 1 - AGREE:
            pairs = zip(text[name][wrong], patients[name][wrong], strict=True)
            (ours, theirs), _ = Counter(pairs).most_common(1)[0]
            said = f"{ours or 'a blank'} for {schema.show(theirs)}"
            parts.append(f"'{name}' is wrong for {int(wrong.sum())} of {len(wrong)} known patients, mostly {said}")
    return "; ".join(parts) or "its rows differ from the known patients in several columns"
