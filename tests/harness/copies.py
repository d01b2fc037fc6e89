"""The published copies, made from the bundled patients by hand-written recodes: what their authors did to UCI's codes.

They are written down here a second time, from UCI's codes to the copy's, so that a wrong declaration in the project
does not agree with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from heart_disease.data import sources

Frame = pd.DataFrame


def uci() -> Frame:
    """The 303 patients as UCI has them, in its order."""
    return sources.load().frame.sort_index().reset_index(drop=True)


def _coded(frame: Frame, codes: Mapping[str, Mapping[float, Any]], blank: Mapping[str, Any] | None = None) -> Frame:
    out = frame.copy()
    for name, to in codes.items():
        out[name] = frame[name].map(to).astype("object")
    for name, filled in (blank or {}).items():
        out[name] = out[name].astype("object").where(frame[name].notna(), filled)
    return out


def kaggle() -> Frame:
    """ronitf's: codes from 0, the label turned round, missing values as 4 and 0."""
    frame = uci()
    out = _coded(
        frame,
        {
            "cp": {4: 0, 2: 1, 3: 2, 1: 3}, "restecg": {2: 0, 0: 1, 1: 2}, "slope": {3: 0, 2: 1, 1: 2},
            "thal": {6: 1, 3: 2, 7: 3},
        },
        {"ca": 4, "thal": 0},
    )  # fmt: skip
    out["target"] = (frame["num"] == 0).astype(int)
    return out.drop(columns="num")


def kaggle_short_names() -> Frame:
    """rashikrahman's: the same under other names."""
    names = {"trestbps": "trtbps", "thalach": "thalachh", "exang": "exng", "slope": "slp", "ca": "caa", "thal": "thall"}
    return kaggle().rename(columns=names | {"target": "output"})


def kaggle_1025() -> Frame:
    """johnsmith88's: the same patients three times and more."""
    return pd.concat([kaggle()] * 3 + [kaggle().head(116)], ignore_index=True)


def cherngs() -> Frame:
    """Codes from 0 in UCI's order, without the six patients with missing values."""
    frame = uci().dropna()
    from_zero = {name: {n: n - 1 for n in range(1, 5)} for name in ("cp", "slope")}
    out = _coded(frame, {**from_zero, "thal": {3: 0, 6: 1, 7: 2}})
    out["condition"] = (frame["num"] > 0).astype(int)
    return out.drop(columns="num").reset_index(drop=True)


def ritwikb3() -> Frame:
    """Codes from 0 and from 1, missing values filled with the first code."""
    frame = uci()
    from_zero = {name: {n: n - 1 for n in range(1, 5)} for name in ("cp", "slope")}
    out = _coded(frame, {**from_zero, "thal": {3: 1, 6: 2, 7: 3}}, {"ca": 0, "thal": 1})
    out["target"] = (frame["num"] > 0).astype(int)
    return out.drop(columns="num")


def words() -> Frame:
    """redwankarimsony's, in words, with the number and the hospital of each patient."""
    yes = {1: "TRUE", 0: "FALSE"}
    out = _coded(
        uci(),
        {
            "sex": {1: "Male", 0: "Female"}, "fbs": yes, "exang": yes,
            "cp": {1: "typical angina", 2: "atypical angina", 3: "non-anginal", 4: "asymptomatic"},
            "restecg": {0: "normal", 1: "st-t abnormality", 2: "lv hypertrophy"},
            "slope": {1: "upsloping", 2: "flat", 3: "downsloping"},
            "thal": {3: "normal", 6: "fixed defect", 7: "reversable defect"},
        },
        {"thal": ""},
    )  # fmt: skip
    out = out.rename(columns={"thalach": "thalch"})
    return out.assign(id=range(1, len(out) + 1), dataset="Cleveland")


def islr() -> Frame:
    """The one of An Introduction to Statistical Learning."""
    out = _coded(
        uci(),
        {
            "cp": {1: "typical", 2: "nontypical", 3: "nonanginal", 4: "asymptomatic"},
            "thal": {3: "normal", 6: "fixed", 7: "reversable"},
        },
        {"thal": "NA"},
    )
    names = {
        "age": "Age", "sex": "Sex", "cp": "ChestPain", "trestbps": "RestBP", "chol": "Chol", "fbs": "Fbs",
        "restecg": "RestECG", "thalach": "MaxHR", "exang": "ExAng", "oldpeak": "Oldpeak", "slope": "Slope", "ca": "Ca",
        "thal": "Thal",
    }  # fmt: skip
    out["AHD"] = out["num"].map(lambda n: "Yes" if n > 0 else "No")
    return out.drop(columns="num").rename(columns=names)


def statlog() -> Frame:
    """UCI's codes with a label of 1 and 2, without the patients with missing values."""
    frame = uci().dropna().head(270)
    return frame.assign(num=(frame["num"] > 0) + 1).rename(columns={"num": "class"}).reset_index(drop=True)


def statlog_kaggle() -> Frame:
    """The same with long names and a label in words."""
    names = {
        "age": "Age", "sex": "Sex", "cp": "Chest pain type", "trestbps": "BP", "chol": "Cholesterol",
        "fbs": "FBS over 120", "restecg": "EKG results", "thalach": "Max HR", "exang": "Exercise angina",
        "oldpeak": "ST depression", "slope": "Slope of ST", "ca": "Number of vessels fluro", "thal": "Thallium",
    }  # fmt: skip
    frame = statlog()
    label = frame.pop("class").map({1: "Absence", 2: "Presence"})
    return frame.rename(columns=names).assign(**{"Heart Disease": label})


def tensorflow() -> Frame:
    """Thal in words, and a label that calls the first stage of the disease healthy."""
    frame = uci()
    out = _coded(frame, {"thal": {3: "normal", 6: "fixed", 7: "reversible"}}, {"thal": "normal"})
    out["ca"] = out["ca"].fillna(0)
    return out.assign(target=(frame["num"] >= 2).astype(int)).drop(columns="num")


def keel() -> Frame:
    """Statlog's, without the decimal points of oldpeak."""
    frame = statlog()
    return frame.assign(oldpeak=(frame["oldpeak"] * 10).round().astype(int))


def fedesoriano() -> Frame:
    """In letters, without two columns."""
    out = _coded(
        uci(),
        {
            "sex": {1: "M", 0: "F"}, "cp": {1: "TA", 2: "ATA", 3: "NAP", 4: "ASY"}, "exang": {1: "Y", 0: "N"},
            "restecg": {0: "Normal", 1: "ST", 2: "LVH"}, "slope": {1: "Up", 2: "Flat", 3: "Down"},
        },
    )  # fmt: skip
    names = {
        "age": "Age", "sex": "Sex", "cp": "ChestPainType", "trestbps": "RestingBP", "chol": "Cholesterol",
        "fbs": "FastingBS", "restecg": "RestingECG", "thalach": "MaxHR", "exang": "ExerciseAngina",
        "oldpeak": "Oldpeak", "slope": "ST_Slope",
    }  # fmt: skip
    out["HeartDisease"] = (out["num"] > 0).astype(int)
    return out.drop(columns=["ca", "thal", "num"]).rename(columns=names)


# Copies that can be turned back, and how many of the 303 patients they have. Kaggle's has one patient twice and lacks
# no other, but here it is made from all 303.
WHOLE: Mapping[str, tuple[Callable[[], Frame], int]] = {
    "kaggle": (kaggle, 303), "kaggle_short_names": (kaggle_short_names, 303), "kaggle_1025": (kaggle_1025, 303),
    "cherngs": (cherngs, 297), "ritwikb3": (ritwikb3, 303), "words": (words, 303), "islr": (islr, 303),
    "statlog": (statlog, 270), "statlog_kaggle": (statlog_kaggle, 270),
}  # fmt: skip
