"""A table whose patients are not known: can its codes be UCI's, and if somebody says which copy it is, can that be?

Nothing is translated unless it is said, with `--copy`. Four things speak against a reading of the codes. None of them
is found at any of the four hospitals of the study, as far as they recorded the columns:

* a value that those codes do not have, in more than a few rows;
* a code that gets the order of its column backwards: slope rises with oldpeak, and so on (`PARTNERS`);
* most patients are women, or have a high blood sugar, and the column falls where it should rise (`MINORITIES`);
* chest pain counted from 0: code 4, asymptomatic, which 42 to 80 % of the patients have, is never there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pandas as pd

from heart_disease.data.copies.published import COPIES, Copy
from heart_disease.data.copies.translation import LABEL, Finding, Text
from heart_disease.model import schema
from heart_disease.model.words import count

AGREE = 0.9  # share of the cells of a column that a copy's codes must have
# The columns that a coded one rises (+1) or falls (-1) with. The mean of these correlations, each with its sign, is
# +0.29 to +0.41 in Cleveland, and +0.10 to +0.52 at the other hospitals where 40 patients or more have the columns.
PARTNERS: Mapping[str, Mapping[str, int]] = {
    "slope": {"oldpeak": +1, "thalach": -1, "exang": +1},
    "cp": {"exang": +1, "thalach": -1, "oldpeak": +1},
    "exang": {"oldpeak": +1, "thalach": -1},
    "thal": {"oldpeak": +1, "thalach": -1, "exang": +1},
    "ca": {"age": +1, "oldpeak": +1, "thalach": -1},
}
# The code of a column that fewer than half have at every hospital of the study (3 to 32 % are women, 7 to 35 % have a
# high blood sugar), in words, and what the column rises with. Elsewhere more than half may have it; but if the mean of
# these correlations is also below the limit, its two codes are swapped.
MINORITIES: Mapping[str, tuple[int, str, Mapping[str, int], float]] = {
    "sex": (0, "are women", {"exang": +1, "oldpeak": +1, LABEL: +1}, -0.1),
    "fbs": (1, "have a high blood sugar", {"age": +1, "trestbps": +1}, -0.05),
}
LEAST_FOR_SWAP = 80  # rows without a blank there
BACKWARDS, LEAST_FOR_ORDER = -0.2, 40  # the mean below which an order is backwards; rows that it takes
LEAST_FOR_PAIN = 20  # rows without code 4: of 20 patients of the study, all lack it once in 50,000 draws
ASYMPTOMATIC = 4.0
FEW = 3  # values that a message names
FORCE = "add --force (in `heart evaluate`, --anyway)"
AS_UCI = "add --copy uci --force (in `heart evaluate` and `heart predict`, --anyway)"


def judge(table: Text, known: int, declared: Copy | None, force: bool) -> Finding | None:
    """What can be said of a table, `known` of whose rows are known patients; None if its codes may be UCI's.

    declared: the copy that it is said to be. force: believe that, whatever speaks against it.
    """
    if declared:
        return _as_declared(table, known, declared, force)
    order, foreign = _contradictions(table, COPIES[0])
    if not order and not foreign:  # most tables end here, and need not be read as the other copies
        return None
    fits = [copy for copy in COPIES[1:] if not copy.lost and not any(_contradictions(table, copy))]
    if not order and not fits:
        return None  # validation names the cells
    refusal = "; ".join(order or foreign)
    if fits:
        refusal += f". The codes may be those of {in_words(fits)}: say so if you know it"
    else:
        refusal += f". If the codes are UCI's all the same, {AS_UCI}"
    title = "a table of unknown patients, in codes that are not UCI's"
    return Finding(title, table.known(known), (), refusal, table.frame)


def in_words(copies: Sequence[Copy]) -> str:
    """Copies by title, each with the option that declares it."""
    return " or of ".join(f"{copy.title} (--copy {copy.name})" for copy in copies)


def _as_declared(table: Text, known: int, copy: Copy, force: bool) -> Finding | None:
    changes, refusal = table.in_words(copy), copy.lost
    cells, has_label = table.decoded(copy), LABEL in table.cells
    if has_label and not copy.labels:
        refusal = refusal or "what its label says is less than `num > 0`, or not known; leave that column out"
    elif has_label:
        meaning = next((one for one in copy.labels if not _has_others(table, one)), copy.labels[0])
        cells[LABEL] = table.labels(meaning)
        changes += [f"'{LABEL}': {meaning}"] * (meaning != COPIES[0].labels[0])
    if not refusal and not force and (against := [*chain(*_contradictions(table, copy))]):
        refusal = f"{'; '.join(against)}. If it is {copy.title} all the same, {FORCE}"
    if copy is COPIES[0] and not changes and not refusal:
        return None
    changes += table.without_extra()
    said = f"{table.known(known)}, and --copy {copy.name} says so"
    return Finding(copy.title, said, tuple(changes), refusal, table.kept(cells))


def backwards(cells: pd.DataFrame) -> list[str]:
    """The columns that are the wrong way round if they mean what UCI's codes say, each with an example."""
    said = [_order(cells, name, partners, BACKWARDS, LEAST_FOR_ORDER) for name, partners in PARTNERS.items()]
    if LABEL in cells:
        cells = cells.assign(**{LABEL: cells[LABEL].clip(upper=1)})
    for name, (code, words, partners, limit) in MINORITIES.items():
        n = int((cells[name] == code).sum()) if name in cells else 0
        # A label that is blank, in words or always the same must not hide what the others say.
        some = {one: sign for one, sign in partners.items() if one in cells and cells[one].max() > cells[one].min()}
        if n > len(cells) / 2 and (order := _order(cells, name, some, limit, LEAST_FOR_SWAP)):
            said.append(f"{n} of {len(cells)} {words}, and {order}")
    return [f"{' and '.join(filter(None, said))}: the other way round than at every hospital of the study"] * any(said)


def _order(cells: pd.DataFrame, name: str, partners: Mapping[str, int], limit: float, least: int) -> str:
    """What a column falls or rises with, if the mean of these correlations, each with its sign, is below `limit`."""
    if not {name, *partners} <= set(cells):
        return ""
    columns = np.stack([cells[one].to_numpy(np.float64) for one in (name, *partners)])
    columns = columns[:, np.isfinite(columns).all(axis=0)]  # (1 + partners, rows)
    if columns.shape[1] < least or (np.ptp(columns, axis=1) == 0).any():
        return ""
    found = np.corrcoef(columns)[0, 1:]  # (partners,)
    signed = found * list(partners.values())
    if signed.mean() >= limit:
        return ""
    worst = int(signed.argmin())
    moves = "falls" if found[worst] < 0 else "rises"
    return f"'{name}' {moves} with '{list(partners)[worst]}' (correlation {found[worst]:+.2f})"


def _contradictions(table: Text, copy: Copy) -> tuple[list[str], list[str]]:
    """What speaks against reading a table as `copy`: orders that are backwards, and values that it does not have."""
    cells = table.decoded(copy)
    # UCI's codes are the numbers themselves, and one that is none of them still has its place in the order.
    order = backwards(cells if copy.codes else table.cells.apply(pd.to_numeric, errors="coerce"))
    foreign = []
    for name in (column.name for column in schema.COLUMNS if column.codes and column.name in cells):
        written, others = table.cells[name], np.isinf(cells[name].to_numpy())
        if others.sum() > (1 - AGREE) * (written != "").sum():
            few = ", ".join(sorted(written[others].unique())[:FEW])
            foreign.append(f"'{name}' has {few} in {count(int(others.sum()), 'row')}, which is not in {copy.title}")
    if "cp" in cells:
        pain = cells["cp"]
        from_zero = np.isinf(pain[table.cells["cp"] == "0"]).any()
        if pain.notna().sum() >= LEAST_FOR_PAIN and from_zero and not (pain == ASYMPTOMATIC).any():
            order.append("nobody has 'cp' 4, asymptomatic, as at least two in five have at every hospital of the study")
    if LABEL in table.cells and copy.labels and all(_has_others(table, meaning) for meaning in copy.labels):
        foreign.append(f"'{LABEL}' has values that are no label in {copy.title}")
    return order, foreign


def _has_others(table: Text, meaning: str) -> bool:
    """Whether more than a few cells of the label have no such meaning."""
    others = np.isinf(table.labels(meaning).to_numpy())
    return bool(others.sum() > (1 - AGREE) * (table.cells[LABEL] != "").sum())
