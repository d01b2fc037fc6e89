"""Where the report has each of the 27 items of TRIPOD+AI, or why it does not.

Collins et al., TRIPOD+AI statement, BMJ 385, e078378, 2024. The statement is made for studies. This is a report that a
program writes, so what only people can say is marked as not reported.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """An item of the statement. where: the section that has it, or why none does."""

    number: int
    section: str
    topic: str
    where: str


_TOPICS = (
    ("Title", "Title", "The heading"),
    ("Abstract", "Abstract", "The model card, in the same folder as this page and in the version's description"),
    ("Introduction", "Background", "Not reported: this is software for learning, and not made for a clinical need"),
    ("Introduction", "Objectives", "The model card's first sentence"),
    ("Methods", "Data", "Patients; the file's digest is in the run; the data set's own page says how it was collected"),
    ("Methods", "Participants", "Patients; who was recruited, where and when is on the data set's own page"),
    ("Methods", "Data preparation", "The validation page in the same run; docs/columns.md for what is allowed"),
    ("Methods", "Outcome", "Patients: disease is over 50 % narrowing of a major vessel"),
    ("Methods", "Predictors", "Patients: each column, with its unit or codes"),
    ("Methods", "Sample size", "Patients; the number was not planned"),
    ("Methods", "Missing data", "Patients: blanks are counted, and are an input of their own"),
    ("Methods", "Analytical methods", "Results: how it was judged; What it was made from: the recipe"),
    ("Methods", "Class imbalance", "Patients; nothing was done about it, because that would distort probabilities"),
    ("Methods", "Fairness", "Groups of patients"),
    ("Methods", "Model output", "From which probability on to act"),
    ("Methods", "Training and evaluation", "Results: no network is judged on a patient it learned from"),
    ("Methods", "Ethical approval", "Not reported: the data set's own page may say"),
    ("Open science", "Funding, protocol, data, code", "The code is public; there was no protocol and no registration"),
    ("Open science", "Patient and public involvement", "None"),
    ("Results", "Participants", "Patients"),
    ("Results", "Model development", "Results: the number of patients; Patients: those with disease"),
    ("Results", "Model specification", "The registered model itself, with its code; nothing else is needed to use it"),
    ("Results", "Model performance", "Results, Calibration and Groups of patients, with intervals; Stability"),
    ("Results", "Model updating", "What changed against the champion"),
    ("Discussion", "Interpretation", "Which columns matter; Groups of patients"),
    ("Discussion", "Limitations", "Use and limits"),
    ("Discussion", "Usability", "Use and limits; what happens to blanks and unknown codes is in docs/columns.md"),
)  # fmt: skip
ITEMS = tuple(Item(number, *parts) for number, parts in enumerate(_TOPICS, start=1))
