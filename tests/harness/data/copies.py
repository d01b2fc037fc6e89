"""The published copies, made from the bundled patients by hand, independently of heart_disease/data/copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from heart_disease.data import sources

THALS = {3.0: "normal", 6.0: "fixed", 7.0: "reversible"}
LABEL_NAMES = ("target", "output", "condition", "class", "AHD", "HeartDisease")
SLOPES = {1.0: "upsloping", 2.0: "flat", 3.0: "downsloping"}


def cleveland() -> pd.DataFrame:
    """The 303 patients in UCI codes, in the file's order."""
    return pd.read_csv(sources.BUNDLED)


def kaggle() -> pd.DataFrame:
    """Kaggle's heart.csv (ronitf): the label 1 is healthy; one patient is there twice."""
    frame = cleveland()
    frame["cp"] = frame["cp"].map({4: 0, 2: 1, 3: 2, 1: 3})
    frame["restecg"] = frame["restecg"].map({2: 0, 0: 1, 1: 2})
    frame["slope"] = frame["slope"].map({3: 0, 2: 1, 1: 2})
    frame["ca"] = frame["ca"].fillna(4).astype(int)
    frame["thal"] = frame["thal"].map({6: 1, 3: 2, 7: 3}).fillna(0).astype(int)
    frame["target"] = (frame.pop("num") == 0).astype(int)
    frame.iloc[302] = frame.iloc[10]
    return frame


def kaggle_1025() -> pd.DataFrame:
    """johnsmith88: the 302 patients of `kaggle`, most of them three or four times."""
    one = kaggle().head(302)
    return pd.concat([one, one, one, one.head(119)]).sample(frac=1, random_state=3)


def rashikrahman() -> pd.DataFrame:
    """`kaggle` under other names."""
    names = {"trestbps": "trtbps", "thalach": "thalachh", "exang": "exng", "slope": "slp", "ca": "caa", "thal": "thall"}
    return kaggle().rename(columns={**names, "target": "output"})


def _from_zero(frame: pd.DataFrame, thal: Mapping[int, int]) -> pd.DataFrame:
    return frame.assign(cp=frame["cp"] - 1, slope=frame["slope"] - 1, thal=frame["thal"].map(thal))


def cherngs() -> pd.DataFrame:
    """cherngs: the 297 complete patients."""
    frame = _from_zero(cleveland().dropna(), {3: 0, 6: 1, 7: 2})
    frame["condition"] = (frame.pop("num") > 0).astype(int)
    return frame.astype({"ca": int, "thal": int})


def ritwikb3() -> pd.DataFrame:
    """ritwikb3: 303 patients; what was missing is filled in."""
    frame = _from_zero(cleveland(), {3: 1, 6: 2, 7: 3})
    frame["target"] = (frame.pop("num") > 0).astype(int)
    return frame.fillna({"ca": 0, "thal": 1})


def islr() -> pd.DataFrame:
    """ISLR's Heart.csv: an index column, words, and Yes or No."""
    frame = cleveland()
    frame["cp"] = frame["cp"].map({1: "typical", 2: "nontypical", 3: "nonanginal", 4: "asymptomatic"})
    frame["thal"] = frame["thal"].map({3: "normal", 6: "fixed", 7: "reversable"})
    frame["num"] = (frame["num"] > 0).map({True: "Yes", False: "No"})
    short = {"cp": "ChestPain", "trestbps": "RestBP", "thalach": "MaxHR", "exang": "ExAng", "num": "AHD"}
    names = {name: short.get(name, name.title()) for name in frame}
    return frame.rename(columns={**names, "restecg": "RestECG"}).rename_axis("").reset_index()


def words() -> pd.DataFrame:
    """redwankarimsony, its Cleveland patients only: words."""
    frame = cleveland()
    frame["sex"] = frame["sex"].map({1: "Male", 0: "Female"})
    frame["cp"] = frame["cp"].map({1: "typical angina", 2: "atypical angina", 3: "non-anginal", 4: "asymptomatic"})
    frame["restecg"] = frame["restecg"].map({0: "normal", 1: "st-t abnormality", 2: "lv hypertrophy"})
    frame["fbs"], frame["exang"] = frame["fbs"] == 1, frame["exang"] == 1
    frame["slope"] = frame["slope"].map(SLOPES)
    frame["thal"] = frame["thal"].map({3: "normal", 6: "fixed defect", 7: "reversable defect"})
    frame = frame.rename(columns={"thalach": "thalch"})
    return frame.assign(id=range(1, 304), dataset="Cleveland")


def statlog() -> pd.DataFrame:
    """Statlog: 270 complete patients; 1 is healthy, 2 is disease."""
    frame = cleveland().dropna().head(270)
    frame["class"] = (frame.pop("num") > 0) + 1
    return frame


def keel() -> pd.DataFrame:
    """KEEL: Statlog, and oldpeak lost its decimal point."""
    frame = statlog()
    return frame.assign(oldpeak=(frame["oldpeak"] * 10).round().astype(int))


def tensorflow() -> pd.DataFrame:
    """TensorFlow's heart.csv: the label is num >= 2, and six patients are there again in Kaggle's codes."""
    own = cleveland().dropna()
    frame = own.assign(thal=own["thal"].map(THALS), target=(own["num"] >= 2).astype(int)).drop(columns="num")
    pasted = kaggle().loc[frame.index[240:246]].astype({"thal": str})
    return pd.concat([frame.iloc[:246], pasted, frame.iloc[246:]]).astype({"thal": str})


def fedesoriano() -> pd.DataFrame:
    """fedesoriano: neither ca nor thal."""
    frame = words().drop(columns=["ca", "thal", "id", "dataset"])
    frame["cp"] = cleveland()["cp"].map({1: "TA", 2: "ATA", 3: "NAP", 4: "ASY"})
    frame["sex"] = frame["sex"].str[0]
    frame["restecg"] = cleveland()["restecg"].map({0: "Normal", 1: "ST", 2: "LVH"})
    frame["exang"] = cleveland()["exang"].map({1: "Y", 0: "N"})
    frame["slope"] = cleveland()["slope"].map({1: "Up", 2: "Flat", 3: "Down"})
    frame["fbs"] = cleveland()["fbs"]
    frame["num"] = (frame["num"] > 0).astype(int)
    return frame.rename(
        columns={
            "age": "Age", "sex": "Sex", "cp": "ChestPainType", "trestbps": "RestingBP", "chol": "Cholesterol",
            "fbs": "FastingBS", "restecg": "RestingECG", "thalch": "MaxHR", "exang": "ExerciseAngina",
            "oldpeak": "Oldpeak", "slope": "ST_Slope", "num": "HeartDisease",
        }
    )  # fmt: skip


def strangers(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy, but its patients are not known: nobody has half a milligram of cholesterol."""
    name = next(name for name in frame if name.lower() in ("chol", "cholesterol"))
    return frame.assign(**{name: frame[name] + 0.5})


def renamed(frame: pd.DataFrame) -> pd.DataFrame:
    """What everybody tries first: call the label `num`."""
    return frame.rename(columns=dict.fromkeys(LABEL_NAMES, "num"))


Maker = Callable[[], pd.DataFrame]
# How many patients come out of each that can be used.
USABLE: Mapping[str, tuple[Maker, int]] = {
    "kaggle": (kaggle, 302),
    "kaggle-1025": (kaggle_1025, 302),
    "rashikrahman": (rashikrahman, 302),
    "cherngs": (cherngs, 297),
    "ritwikb3": (ritwikb3, 303),
    "islr": (islr, 303),
    "words": (words, 303),
    "statlog": (statlog, 270),
}
# Why each of the others is refused.
REFUSED: Mapping[str, tuple[Maker, str]] = {
    "tensorflow": (tensorflow, "its label is num >= 2"),
    "keel": (keel, "'oldpeak' is wrong for"),
    "fedesoriano": (fedesoriano, "it has no 'ca' and no 'thal'"),
}
