"""Patients who are not known, in any copy's codes: nothing passes with the wrong meaning, before or after renaming."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expectations import gate
from heart_disease.data import recognition, sources
from heart_disease.data.copies import strangers
from heart_disease.data.copies.translation import Finding
from heart_disease.data.sites import SITES
from heart_disease.model.errors import RejectedError, UsageError
from tests.data.formats.test_text import CELLS, FORMS
from tests.data.test_copies import same_patients
from tests.harness.data import copies

EVERY: Mapping[str, copies.Maker] = {
    "uci": copies.cleveland,
    **{name: make for name, (make, _) in (copies.USABLE | copies.REFUSED).items()},
}
MESSES = {**CELLS, **{name: mess for name, (mess, _) in FORMS.items()}}
UNKNOWN = copies.strangers(copies.cleveland())


def refusal(frame: pd.DataFrame, declared: str | None = None, *, force: bool = False) -> str:
    found = recognition.recognise(frame, declared=declared, force=force)
    assert found is not None
    return found.refusal


def translated(frame: pd.DataFrame, declared: str, *, force: bool = False) -> Finding:
    found = recognition.recognise(frame, declared=declared, force=force)
    assert found is not None
    assert found.refusal == ""
    return found


def truth(name: str) -> pd.DataFrame:
    """The patients of a copy in UCI codes."""
    known = copies.cleveland()
    kept = {"cherngs": known.dropna(), "statlog": known.dropna().head(270), "kaggle": known.head(302)}
    return kept.get(name, known.head(copies.USABLE[name][1] if name in copies.USABLE else 303))


@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
@pytest.mark.parametrize("rename", [False, True], ids=["as it is", "label renamed"])
@pytest.mark.parametrize("which", range(len(EVERY)), ids=list(EVERY))
def test_a_copy_in_a_mess_has_the_right_meaning_or_is_refused(
    which: int, rename: bool, unknown: bool, tmp_path: Path
) -> None:
    """Each copy in two to four of the messes, so that each mess is met by several copies."""
    name, make = list(EVERY.items())[which]
    frame = copies.strangers(make()) if unknown else make()
    mess = list(MESSES.values())[(4 * which + 2 * rename + unknown) % len(MESSES)]
    path = tmp_path / "heart.csv"
    path.write_bytes(mess(copies.renamed(frame) if rename else frame))
    try:
        table = sources.load(path)
    except RejectedError:
        assert name != "uci"
        assert unknown or name in copies.REFUSED
        return
    if unknown and not gate.validate(table).passed:
        return
    assert not unknown or name == "uci"
    same_patients(table.frame, UNKNOWN if unknown else truth(name))


@pytest.mark.parametrize("name", ["kaggle", "cherngs", "ritwikb3", "islr", "words", "statlog"])
def test_declared_unknown_patients_are_translated_and_it_is_said(name: str) -> None:
    finding = translated(copies.strangers(EVERY[name]()), name)
    assert f"are known patients, and --copy {name} says so" in finding.known
    expected = copies.strangers(truth(name))
    if name == "ritwikb3":  # nobody can tell which cells it filled in
        expected = expected.fillna({"ca": 0, "thal": 3})
    if name == "kaggle":  # patients that are not known are not counted as the same
        finding = translated(copies.strangers(copies.kaggle()).head(302), name)
    same_patients(finding.frame, expected)


def test_what_is_declared_against_the_codes_is_refused_unless_forced() -> None:
    frame = copies.renamed(copies.strangers(copies.kaggle()))
    why = refusal(frame, "cherngs")
    assert "'slope' falls with 'oldpeak' (correlation -0.57)" in why
    assert "'thal' has 3 in 117 rows, which is not in Kaggle's heart_cleveland_upload.csv (cherngs)" in why
    assert "If it is Kaggle's heart_cleveland_upload.csv (cherngs) all the same, add --force" in why
    translated(frame, "cherngs", force=True)
    assert recognition.recognise(UNKNOWN.assign(slope=4 - UNKNOWN["slope"]), declared="uci", force=True) is None


def test_what_is_declared_against_the_known_patients_is_refused_unless_forced() -> None:
    frame = copies.renamed(copies.kaggle())
    why = refusal(frame, "ritwikb3")
    assert (
        "its patients say Kaggle's heart.csv (ronitf, johnsmith88, rashikrahman), and --copy says Kaggle's Heart" in why
    )
    assert translated(frame, "ritwikb3", force=True).title.endswith("(ritwikb3)")
    assert len(translated(frame, "kaggle").frame) == 302


@pytest.mark.parametrize(
    ("name", "why"),
    [("fedesoriano", "has no 'ca'"), ("keel", "lost the decimal point"), ("tensorflow", "leave that column out")],
)
def test_what_cannot_be_turned_back_is_refused_even_if_forced(name: str, why: str) -> None:
    assert why in refusal(copies.strangers(EVERY[name]()), name, force=True)


def test_without_its_label_tensorflows_copy_can_be_read() -> None:
    frame = copies.strangers(copies.tensorflow()).drop(columns="target").iloc[:246]
    found = translated(frame, "tensorflow")
    expected = UNKNOWN.dropna().head(246)[list(found.frame)]
    np.testing.assert_array_equal(found.frame.astype("float64"), expected)


def test_a_name_of_no_copy_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="copy 'keras': expected one of uci, tensorflow, kaggle"):
        recognition.recognise(UNKNOWN, declared="keras")
    with pytest.raises(UsageError, match="--copy kaggle: expected a source with it"):
        sources.load(copy="kaggle")


@pytest.mark.parametrize("rows", [1, 10, 39])
def test_a_few_unknown_rows_whose_codes_fit_other_copies_are_refused_with_their_names(rows: int) -> None:
    why = refusal(copies.renamed(copies.strangers(copies.kaggle())).head(rows))
    assert "(--copy kaggle)" in why
    assert "say so if you know it" in why


@pytest.mark.parametrize("column", strangers.PARTNERS)
def test_a_column_whose_order_is_backwards_is_named(column: str) -> None:
    turned = UNKNOWN.assign(**{column: UNKNOWN[column].max() + UNKNOWN[column].min() - UNKNOWN[column]})
    assert f"'{column}' " in refusal(turned)
    assert "the other way round than at every hospital of the study" in refusal(turned)
    assert recognition.recognise(turned.head(strangers.LEAST_FOR_ORDER - 1)) is None


def test_chest_pain_counted_from_zero_is_refused() -> None:
    less = UNKNOWN.assign(cp=UNKNOWN["cp"] - 1)
    less.loc[3, "cp"] = np.nan
    assert "nobody has 'cp' 4, asymptomatic" in refusal(less)


@pytest.mark.parametrize("label", [True, False], ids=["with the label", "without"])
@pytest.mark.parametrize(
    ("column", "code", "why"),
    [("sex", 0, "206 of 303 are women, and 'sex' falls with '"), ("fbs", 1, "258 of 303 have a high blood sugar, and")],
)
def test_a_column_with_two_codes_that_are_swapped_is_named(column: str, code: int, why: str, label: bool) -> None:
    known = UNKNOWN if label else UNKNOWN.drop(columns="num")
    swapped = known.assign(**{column: 1 - known[column]})
    assert why in refusal(swapped)
    assert recognition.recognise(swapped.head(strangers.LEAST_FOR_SWAP - 1)) is None
    assert recognition.recognise(swapped, declared="uci", force=True) is None


@pytest.mark.parametrize("label", [np.nan, "no", 1], ids=["blank", "a word", "all alike"])
def test_a_label_that_says_nothing_does_not_hide_that_the_sex_is_swapped(label: object) -> None:
    swapped = UNKNOWN.assign(sex=1 - UNKNOWN["sex"], num=label)
    assert "206 of 303 are women, and 'sex' falls with '" in refusal(swapped)


def test_a_refusal_without_a_copy_that_fits_says_how_a_hospital_that_differs_gets_on() -> None:
    swapped = UNKNOWN.assign(sex=1 - UNKNOWN["sex"])
    assert "If the codes are UCI's all the same, add --copy uci --force" in refusal(swapped)
    assert recognition.recognise(swapped, declared="uci", force=True) is None


@pytest.mark.parametrize(("column", "code"), [("sex", 0), ("fbs", 1)])
def test_more_than_half_with_a_rare_code_are_not_refused_for_that_alone(column: str, code: int) -> None:
    rare = UNKNOWN[UNKNOWN[column] == code]
    some = pd.concat([rare.sample(80, replace=True, random_state=0), UNKNOWN[UNKNOWN[column] != code].head(60)])
    assert recognition.recognise(some) is None


@pytest.mark.parametrize("hospital", SITES)
def test_the_order_is_backwards_at_no_hospital_of_the_study(hospital: str) -> None:
    everyone, random = pd.read_csv(SITES[hospital]).astype("float64"), np.random.default_rng(0)
    assert strangers.backwards(everyone) == []
    for _ in range(50):
        assert strangers.backwards(everyone.sample(60, random_state=random)) == []


def test_unknown_patients_in_uci_codes_are_left_to_validation() -> None:
    assert recognition.recognise(UNKNOWN) is None
    assert recognition.recognise(UNKNOWN, declared="uci") is None


def test_what_its_patients_say_as_well_is_read_alike_with_and_without_force() -> None:
    for name in ("kaggle", "ritwikb3"):  # repeated patients are left out, cells that were filled in are blank again
        frame = EVERY[name]()
        one, other = translated(frame, name), translated(frame, name, force=True)
        pd.testing.assert_frame_equal(one.frame, other.frame)
