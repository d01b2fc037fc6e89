"""How columns become inputs and parameters, and what a flaw in the data does to the answers.

One patient is followed through the encoder, cell by cell. Then the bundled patients are turned into the public copy
that the lecture reads: disease there begins at `num` 2, and six rows come from another copy, in other codes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from heart_disease.lessons.lesson import Lesson, check_patient, table
from heart_disease.model import schema
from heart_disease.training.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from heart_disease.evaluation.contest import Report
    from heart_disease.evaluation.estimates import Numbers
    from heart_disease.evaluation.folds import Splits
    from heart_disease.model.encoding import Encoder
    from heart_disease.training.batches import Floats

DEFAULT = Recipe()
TITLE = (
    f"Columns: {len(schema.COLUMNS)} columns, {DEFAULT.widths[0]} inputs, {DEFAULT.size} parameters, and a flawed copy"
)
# The UCI codes as the copy that the six rows were pasted from writes them; its label is 1 for the healthy.
FOREIGN = {
    "cp": {1: 3, 2: 1, 3: 2, 4: 0},
    "restecg": {0: 1, 1: 2, 2: 0},
    "slope": {1: 2, 2: 1, 3: 0},
    "thal": {3: 2, 6: 1, 7: 3},
}
PASTED = 6


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What may be changed."""

    patient: Annotated[int, Field(ge=1, description="Row of the patient to follow.")] = 298
    folds: Annotated[int, Field(ge=2, le=20, description="Folds of the cross-validation.")] = 5
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Decides the networks and the folds.")] = 0


def public_copy(patients: pd.DataFrame) -> pd.DataFrame:
    """The public copy, made from UCI rows: the complete ones, `num` 1 if it was 2 or more, otherwise 0; and six more.

    The six repeat the last complete rows in the codes of `FOREIGN`, with the label reversed; they get the row numbers
    that follow. `patients` is not changed.
    """
    import pandas as pd

    from heart_disease.model.schema import LABEL, label

    complete = patients.dropna().sort_index()
    last = complete.tail(PASTED)
    pasted = last.replace(FOREIGN).assign(num=1 - label(last))
    pasted.index = pd.RangeIndex(PASTED) + patients.index.max() + 1
    return pd.concat([complete.assign(num=(complete[LABEL.name] >= 2).astype("float64")), pasted])


def vocabulary(frame: pd.DataFrame) -> int:
    """Inputs of an encoder that takes its codes from `frame`: the 6 numbers, and each code that occurs."""
    from heart_disease.model.encoding import CODED, NUMBERS

    return len(NUMBERS) + sum(frame[column.name].nunique() for column in CODED)


def walk(patients: pd.DataFrame, row: int, encoder: Encoder) -> list[tuple[str, str, str]]:
    """Column, cell and what `encoder` makes of it, for each of the 13 columns of the patient in `row`."""
    from heart_disease.model import encoding

    frame = patients.loc[[row]]
    inputs = dict(zip(encoding.input_names(), encoder.transform(frame)[0].tolist(), strict=True))
    fitted = dict(zip(encoding.NUMBERS, zip(encoder.means, encoder.scales, strict=True), strict=True))
    out = []
    for column in schema.COLUMNS:
        name, value = column.name, float(frame[column.name].iloc[0])
        meaning = column.unit if math.isnan(value) else column.codes.get(int(value), column.unit)
        if column.is_number:
            mean, scale = fitted[name]
            become = f"({value:g} - {mean:.2f}) / {scale:.2f} = {inputs[name]:+.3f}"
        else:
            own = {key: put for key, put in inputs.items() if key.startswith(f"{name}=")}
            others = f"the other {len(own) - 1} are 0" if len(own) > 2 else "the other is 0"
            become = f"`{max(own, key=own.__getitem__)}` is 1, {others}"
        out.append((f"`{name}`", f"{schema.show(value)} {meaning}".strip(), become))
    return out


def judge(patients: pd.DataFrame, learned: Numbers, splits: Splits, settings: Settings) -> Report:
    """The default network and logistic regression, cross-validated on labels `learned` (n,)."""
    from heart_disease.evaluation.contest import Contest
    from heart_disease.training.engine import train

    contest = Contest(patients, learned, Recipe(seed=settings.seed), splits)
    return contest.report(train(contest.inputs, learned.astype("float32"), contest.jobs))


def run(settings: Settings) -> Lesson:
    """Follow a patient, count the parameters, make the public copy, validate it and learn from it.

    Raises:
        UsageError: there is no patient in that row.
    """
    from expectations.gate import validate
    from heart_disease.data import sources
    from heart_disease.evaluation import folds
    from heart_disease.model.encoding import Encoder, input_names
    from heart_disease.training.network import build

    patients = sources.load().frame
    check_patient(settings.patient, patients)
    encoder = Encoder.fit(patients)
    model = build(Recipe(seed=settings.seed), len(input_names()))
    shapes = [[weights.shape for weights in layer.get_weights()] for layer in model.layers]
    layers = [f"{kernel[0]} x {kernel[1]} + {bias[0]}" for kernel, bias in shapes]

    copy = public_copy(patients)
    validation = validate(sources.make_table(copy, "the public copy"))
    named = {cell.row for failure in validation.errors for cell in failure.cells}
    again = validate(sources.make_table(copy.drop(index=list(named)), "the public copy, corrected"))

    known = patients.dropna()
    truth, theirs = schema.label(known).to_numpy(), copy.loc[known.index, "num"].to_numpy()
    wrong = truth > theirs
    splits = folds.cross_validation(truth, settings.folds, 1, settings.seed)
    reports = {"`num > 0`": judge(known, truth, splits, settings), "`num >= 2`": judge(known, theirs, splits, settings)}
    effect, metrics = _effect(reports, truth, wrong)

    text = f"""
**From columns to inputs.** A network adds and multiplies, so every cell must become a number on a common scale. A
measured number is standardised: minus the mean, divided by the standard deviation, so that 0 is the average patient. A
code has no size (`thal` 7 is not more than twice 3): it becomes one input for each code, of which one is 1. A column
that may be blank has an input for that too. The patient in row {settings.patient}:

{table(("column", "cell", "inputs"), walk(patients, settings.patient, encoder))}

**From inputs to parameters.** Each unit has a weight for each of its inputs and a bias: {" + ".join(layers)} =
{model.count_params()}, as counted on the Keras model.

**A flawed copy.** The lecture reads a public copy of these patients. Rebuilt here in memory from the bundled rows, it
differs in three ways: it leaves out patients with a blank; it calls only `num >= 2` disease; and it repeats the last
{PASTED} patients (here as rows {copy.index[-PASTED]} to {copy.index[-1]}), in the codes of another copy and with the
label reversed:

{_counts(patients, copy, wrong)}

It has {encoder.width} inputs as well, but by accident: it takes the codes from the rows, and `cp` 0 and `thal` 1 and 2
are in the pasted rows only. With them it finds {vocabulary(copy)} inputs, without them
{vocabulary(copy.loc[known.index])}.

**What validation says.** It {"accepts" if validation.passed else "refuses"} the copy:

{"".join(f"* {failure.message()}" for failure in validation.errors)}

With these rows left out it {"accepts" if again.passed else "still refuses"} the rest. The other {PASTED - len(named)}
pasted rows hold codes that are allowed and mean something else, and no rule about cells can know that {wrong.sum()}
labels are wrong: only the share of disease shows it.

**What it does to the answers.** {len(known)} patients, {settings.folds}-fold cross-validation, learned once from each
label (the pasted rows left out), and both judged by the true one:

{effect}

Judged by its own labels, a model of the copy raises no alarm. Judged by the true ones, its probabilities are too low,
for the {wrong.sum()} patients with `num` 1 and for all others, and at 1/2 it finds fewer of the sick. In the figure
nearly all lie below the diagonal. No training can repair this: the mistake is in the data.
""".strip()
    figure = _draw(encoder.transform(patients.loc[[settings.patient]])[0], reports, known["num"].to_numpy(), settings)
    metrics |= {
        "parameters": float(model.count_params()),
        "copy/positive_rate": float(copy["num"].mean()),
        "copy/wrong_labels": float(wrong.sum()),
        "copy/errors_found": float(len(validation.errors)),
    }
    return Lesson(TITLE, text, figure, metrics)


def _counts(patients: pd.DataFrame, copy: pd.DataFrame, wrong: Numbers) -> str:
    from heart_disease.model.schema import label

    rows = [
        ("bundled patients", len(patients), int(label(patients).sum()), f"{label(patients).mean():.1%}", 0),
        ("public copy", len(copy), int(copy["num"].sum()), f"{copy['num'].mean():.1%}", f"{wrong.sum()} + {PASTED}"),
    ]
    return table(("patients", "rows", "called sick", "share", "sick, called healthy"), rows)


def _effect(reports: dict[str, Report], truth: Numbers, wrong: Numbers) -> tuple[str, dict[str, float]]:
    """A table of what each label teaches each model, judged by `truth` (n,), and its figures by name."""
    from heart_disease.evaluation import contest, estimates
    from heart_disease.reporting.tables import MODEL_NAMES

    rows: list[tuple[str, ...]] = []
    metrics: dict[str, float] = {}
    weights = estimates.resamples(len(truth), 0)
    for (label, report), key in zip(reports.items(), ("true_label", "copied_label"), strict=True):
        for model in (contest.NETWORK, contest.LOGISTIC):
            p = report.probabilities[model]
            judged = estimates.measure(truth, p, weights)
            loss, found = judged["log_loss"].value, judged["sensitivity"].value
            own = report.metrics[model]["log_loss"].value
            shares = [f"{share:.1%}" for share in (p.mean(), p[0, wrong].mean(), found)]
            rows.append((label, MODEL_NAMES[model], *shares, f"{own:.3f}", f"{loss:.3f}"))
            figures = {"log_loss": loss, "sensitivity": found, "mean_probability": float(p.mean())}
            metrics |= {f"{key}/{model}/{name}": figure for name, figure in figures.items()}
    header = ("learned from", "model", "mean p", "mean p, `num` 1", "sick found", "log loss, own label", "true label")
    return table(header, rows), metrics


def _draw(inputs: Floats, reports: dict[str, Report], num: Numbers, settings: Settings) -> Figure:
    import numpy as np
    from matplotlib.figure import Figure

    from heart_disease.evaluation.contest import NETWORK
    from heart_disease.model.encoding import NUMBERS, input_names
    from heart_disease.reporting.figures import BLUE, GREY, ORANGE

    figure = Figure(figsize=(9.5, 6.4), layout="constrained")
    panel, answers = figure.subplots(1, 2)
    names, y = input_names(), np.arange(len(inputs))
    coded = y >= len(NUMBERS)
    for part, color, label in ((~coded, BLUE, "number, standardised"), (coded, ORANGE, "code, 0 or 1")):
        panel.barh(y[part], inputs[part], color=color, label=label)
    panel.plot(np.zeros(len(y)), y, ".", color=GREY, markersize=3)
    panel.axvline(0, color=GREY, linewidth=0.8)
    panel.set_yticks(y, names, fontsize=8)
    panel.set(xlabel="value of the input", ylabel="input", title=f"The {len(y)} inputs of patient {settings.patient}")
    panel.set_ylim(len(y) - 0.5, -3.2)
    panel.legend(loc="upper right", ncols=2, fontsize=8)

    x, copied = (report.probabilities[NETWORK][0] for report in reports.values())
    for group, color, marker, label in (
        (num == 0, GREY, "o", "num 0: healthy"),
        (num >= 2, BLUE, "s", "num 2 to 4: sick in both"),
        (num == 1, ORANGE, "^", "num 1: called healthy by the copy"),
    ):
        answers.plot(x[group], copied[group], marker, color=color, markersize=4, alpha=0.8, label=label)
    answers.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    answers.set(xlim=(0, 1), ylim=(0, 1), title="Probability for unseen patients")
    answers.set(xlabel="network that learned from num > 0", ylabel="network that learned from num >= 2")
    answers.legend(loc="upper left", fontsize=8)
    return figure
