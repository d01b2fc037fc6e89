"""The published copies of this data, declared: the names of their columns, and what each value means in UCI codes.

Each mapping was read off the data: the copy's rows were joined to UCI's own by the measurements that no copy changes,
not taken from its documentation. recognition.py does the same with every file that holds known patients. A file of
unknown patients is read by these declarations only if somebody says which copy it is (strangers.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Codes = Mapping[str, float | None]  # a cell's text, in lower case -> the UCI code; None: the cell is blank

# What copies call the columns: without spaces and signs, in lower case.
NAMES: Mapping[str, tuple[str, ...]] = {
    "age": (),
    "sex": ("gender",),
    "cp": ("chestpaintype", "chestpain"),
    "trestbps": ("trtbps", "restingbp", "restbp", "restingbloodpressure", "restingbps", "bp"),
    "chol": ("cholesterol", "cholestoral"),
    "fbs": ("fastingbs", "fastingbloodsugar", "fbsover120"),
    "restecg": ("restingecg", "ekgresults"),
    "thalach": ("thalachh", "thalch", "maxhr", "maxheartrate"),
    "exang": ("exng", "exerciseangina", "exerciseinducedangina"),
    "oldpeak": ("stdepression",),
    "slope": ("slp", "stslope", "slopeofst"),
    "ca": ("caa", "numberofvesselsfluro", "nummajorvessels", "vesselscoloredbyflourosopy"),
    "thal": ("thall", "thallium", "thalassemia"),
    "num": ("target", "output", "condition", "class", "ahd", "heartdisease", "disease", "label"),
}
BLANKS = ("", "?", "na", "nan", "null", "none", "-9")


def _numbers(*codes: int) -> dict[str, float | None]:
    return {str(code): float(code) for code in codes}


YES = {"1": 1.0, "0": 0.0, "yes": 1.0, "no": 0.0, "y": 1.0, "n": 0.0, "true": 1.0, "false": 0.0}
UCI: Mapping[str, Codes] = {
    "sex": _numbers(0, 1),
    "cp": _numbers(1, 2, 3, 4),
    "fbs": _numbers(0, 1),
    "restecg": _numbers(0, 1, 2),
    "exang": _numbers(0, 1),
    "slope": _numbers(1, 2, 3),
    "ca": _numbers(0, 1, 2, 3),
    "thal": _numbers(3, 6, 7),
}
FROM_ZERO: Mapping[str, Codes] = {
    "cp": {"0": 1.0, "1": 2.0, "2": 3.0, "3": 4.0},
    "slope": {"0": 1.0, "1": 2.0, "2": 3.0},
}
WORDS: Mapping[str, Codes] = {
    "sex": {"male": 1.0, "female": 0.0, "m": 1.0, "f": 0.0},
    "fbs": YES,
    "exang": YES,
    "slope": {"upsloping": 1.0, "flat": 2.0, "downsloping": 3.0, "up": 1.0, "down": 3.0},
    "thal": {"normal": 3.0, "fixed defect": 6.0, "reversable defect": 7.0},
}


@dataclass(frozen=True)
class Copy:
    """A published copy.

    codes: what the values of a column mean, if they are not UCI's. labels: what its label may mean (`LABELS`); none
    if it has no label that can be used. lost: why it cannot be turned back, if so.
    """

    name: str
    title: str
    codes: Mapping[str, Codes] = field(default_factory=dict)
    labels: tuple[str, ...] = ("above 0 is heart disease",)
    lost: str = ""

    def codes_of(self, column: str) -> Codes:
        """What the values of a column mean."""
        return {**dict.fromkeys(BLANKS), **self.codes.get(column, UCI[column])}


COPIES: tuple[Copy, ...] = (
    Copy("uci", "UCI's codes"),
    Copy(
        "tensorflow", "TensorFlow's heart.csv",
        {"thal": {"normal": 3.0, "fixed": 6.0, "reversible": 7.0}},
        labels=(),
    ),
    Copy(
        "kaggle", "Kaggle's heart.csv (ronitf, johnsmith88, rashikrahman)",
        {
            "cp": {"0": 4.0, "1": 2.0, "2": 3.0, "3": 1.0},
            "restecg": {"0": 2.0, "1": 0.0, "2": 1.0},
            "slope": {"0": 3.0, "1": 2.0, "2": 1.0},
            "ca": {**_numbers(0, 1, 2, 3), "4": None},
            "thal": {"0": None, "1": 6.0, "2": 3.0, "3": 7.0},
        },
        labels=("1 is healthy and 0 is heart disease",),
    ),
    Copy(
        "cherngs", "Kaggle's heart_cleveland_upload.csv (cherngs)",
        {**FROM_ZERO, "thal": {"0": 3.0, "1": 6.0, "2": 7.0}},
    ),
    Copy(
        "ritwikb3", "Kaggle's Heart_disease_cleveland_new.csv (ritwikb3)",
        {**FROM_ZERO, "thal": {"1": 3.0, "2": 6.0, "3": 7.0}},
    ),
    Copy(
        "words", "Kaggle's heart_disease_uci.csv (redwankarimsony)",
        {
            **WORDS,
            "cp": {"typical angina": 1.0, "atypical angina": 2.0, "non-anginal": 3.0, "asymptomatic": 4.0},
            "restecg": {"normal": 0.0, "st-t abnormality": 1.0, "lv hypertrophy": 2.0},
        },
    ),
    Copy(
        "swapped-words", "a copy of Kaggle's heart.csv in words, some of them swapped",
        {
            **WORDS,
            "cp": {"typical angina": 4.0, "atypical angina": 2.0, "non-anginal pain": 3.0, "asymptomatic": 1.0},
            "fbs": {"lower than 120 mg/ml": 0.0, "greater than 120 mg/ml": 1.0},
            "restecg": {"normal": 2.0, "st-t wave abnormality": 0.0, "left ventricular hypertrophy": 1.0},
            "slope": {"upsloping": 3.0, "flat": 2.0, "downsloping": 1.0},
            "ca": {"zero": 0.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": None},
            "thal": {"no": None, "fixed defect": 3.0, "normal": 6.0, "reversable defect": 7.0},
        },
        labels=(),
    ),
    Copy(
        "islr", "Heart.csv of An Introduction to Statistical Learning",
        {
            "cp": {"typical": 1.0, "nontypical": 2.0, "nonanginal": 3.0, "asymptomatic": 4.0},
            "thal": {"normal": 3.0, "fixed": 6.0, "reversable": 7.0},
        },
    ),
    Copy(
        "fedesoriano", "Kaggle's heart.csv (fedesoriano)",
        {
            **WORDS,
            "cp": {"ta": 1.0, "ata": 2.0, "nap": 3.0, "asy": 4.0},
            "restecg": {"normal": 0.0, "st": 1.0, "lvh": 2.0},
        },
        lost="it has no 'ca' and no 'thal', and hundreds of its cells were made up where a value was missing",
    ),
    Copy(
        "statlog", "Statlog's heart data",
        labels=("1 is healthy and 2 is heart disease", "presence is heart disease"),
    ),
    Copy("keel", "KEEL's heart data", lost="its oldpeak has lost the decimal point"),
)  # fmt: skip
BY_NAME: Mapping[str, Copy] = {copy.name: copy for copy in COPIES}

# What a label may mean: the words or numbers of a cell -> whether the patient has heart disease.
LABELS: Mapping[str, Mapping[str, float]] = {
    "above 0 is heart disease": {**{str(n): float(n) for n in range(5)}, **YES},
    "1 is healthy and 0 is heart disease": {"0": 1.0, "1": 0.0},
    "1 is healthy and 2 is heart disease": {"1": 0.0, "2": 1.0},
    "presence is heart disease": {"absence": 0.0, "presence": 1.0},
}
