"""How wrong is a probability? Mean squared error and binary cross-entropy, by hand and by Keras.

Both are computed on patients that a network has not seen. Then comes the reason for choosing cross-entropy: with a
sigmoid and the squared error, the gradient vanishes exactly when the network is confident and wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from heart_disease.lessons.lesson import Lesson, table
from heart_disease.training import libraries

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.figure import Figure

    from heart_disease.evaluation.estimates import Numbers

TITLE = "Loss: how wrong is a probability?"
LECTURE = (1 / 1000, 1 / 10, 1 / 2, 1.0)  # the probabilities of the lecture's tables
LOGITS = (-6.0, -3.0, 0.0, 3.0, 6.0)
HELD_OUT = 0.2  # the course's share of test rows


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What may be changed."""

    patients: Annotated[int, Field(ge=2, le=20, description="Held-out patients in the table.")] = 6
    start: Annotated[float, Field(ge=-20, lt=0, description="Logit of a sick patient at which descent starts.")] = -6.0
    learning_rate: Annotated[float, Field(gt=0, le=10, description="Step size of that descent.")] = 1.0
    steps: Annotated[int, Field(ge=1, le=10_000, description="Steps of that descent.")] = 300
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Decides the network and the rows held out.")] = 0


def cross_entropy(y: Numbers, p: Numbers) -> Numbers:
    """-(y log p + (1 - y) log(1 - p)), natural logarithm: -log p for the sick, -log(1 - p) for the healthy.

    Any shapes that broadcast; infinite if a certain answer is wrong.
    """
    from scipy.special import xlog1py, xlogy

    return -(xlogy(y, p) + xlog1py(1 - y, -p))


def squared_error(y: Numbers, p: Numbers) -> Numbers:
    """(p - y)^2, which is never above 1."""
    return (p - y) ** 2


def cross_entropy_slope(y: Numbers, z: Numbers) -> Numbers:
    """The derivative of `cross_entropy` by the logit z, for p = sigmoid(z): p - y."""
    from scipy.special import expit

    return expit(z) - y


def squared_error_slope(y: Numbers, z: Numbers) -> Numbers:
    """The derivative of `squared_error` by the logit z, for p = sigmoid(z): 2 (p - y) p (1 - p), by the chain rule."""
    from scipy.special import expit

    p = expit(z)
    return 2 * (p - y) * p * (1 - p)


def tape_slopes(y: Numbers, z: Numbers) -> tuple[Numbers, Numbers]:
    """Both derivatives, (n,) each, as TensorFlow's tape finds them: cross-entropy, squared error."""
    tf = libraries.tensorflow()

    logits, labels = tf.constant(z, tf.float64), tf.constant(y, tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        error = (tf.sigmoid(logits) - labels) ** 2
    return tape.gradient(entropy, logits).numpy(), tape.gradient(error, logits).numpy()


def descend(slope: Callable[[Numbers, Numbers], Numbers], settings: Settings) -> Numbers:
    """Probabilities (steps + 1,) of a sick patient whose logit alone is moved down the loss with derivative `slope`."""
    import numpy as np
    from scipy.special import expit

    logits, sick = np.full(settings.steps + 1, settings.start), np.ones(())
    for i in range(settings.steps):
        logits[i + 1] = logits[i] - settings.learning_rate * slope(sick, logits[i])
    return expit(logits)


def keras_means(y: Numbers, p: Numbers) -> tuple[float, float]:
    """Binary cross-entropy and mean squared error over n rows, by Keras."""
    keras = libraries.keras()

    losses = keras.losses.BinaryCrossentropy(), keras.losses.MeanSquaredError()
    entropy, error = (float(loss(y[:, None], p[:, None])) for loss in losses)
    return entropy, error


def unseen(seed: int) -> tuple[pd.DataFrame, float]:
    """What the default network says about the held-out patients, and their mean loss as the trainer measured it.

    Columns `y` and `p`, indexed by row number, from the best answer to the worst.
    """
    import pandas as pd

    from heart_disease.data import sources
    from heart_disease.evaluation import folds
    from heart_disease.evaluation.contest import fold_jobs
    from heart_disease.model import schema
    from heart_disease.training.engine import TEST_LOSS, train
    from heart_disease.training.inputs import Inputs
    from heart_disease.training.recipe import Recipe

    patients = sources.load().frame
    labels = schema.label(patients).to_numpy()
    splits = folds.holdout(labels, HELD_OUT, seed)
    jobs = fold_jobs(Recipe(seed=seed), splits)
    inputs = Inputs.fitted(patients, [job.rows for job in jobs])
    networks = train(inputs, labels.astype("float32"), jobs)
    answers = pd.DataFrame({"y": labels, "p": networks.probabilities(inputs)[0].astype("float64")}, patients.index)
    answers = answers.iloc[splits.test_rows]
    return answers.iloc[(answers.p - answers.y).abs().argsort()], float(networks.curves[TEST_LOSS][0, -1])


def run(settings: Settings) -> Lesson:
    """Tables, formula, mean and gradient of both losses."""
    import numpy as np

    answers, by_trainer = unseen(settings.seed)
    over_all = float(cross_entropy(answers.y.to_numpy(), answers.p.to_numpy()).mean())
    # Evenly spaced by rank: the best answer, the worst, and some between them.
    shown = answers.iloc[np.linspace(0, len(answers) - 1, settings.patients).round().astype(int)]
    y, p = shown.y.to_numpy(), shown.p.to_numpy()
    by_hand = float(cross_entropy(y, p).mean()), float(squared_error(y, p).mean())
    by_keras = keras_means(y, p)

    z = np.array(LOGITS)
    sick = np.ones_like(z)
    slopes = cross_entropy_slope(sick, z), squared_error_slope(sick, z)
    apart = max(float(np.abs(ours - tape).max()) for ours, tape in zip(slopes, tape_slopes(sick, z), strict=True))
    paths = {"cross-entropy": descend(cross_entropy_slope, settings)}
    paths["squared error"] = descend(squared_error_slope, settings)

    text = f"""
A network answers with a probability `p` of disease; the truth `y` is 1 (sick) or 0 (healthy). A loss turns each answer
into one number, and training makes the mean of that number small.

**Cross-entropy** takes `-log p` for a sick patient and `-log(1 - p)` for a healthy one. **Squared error** takes
`(p - y)^2`. The lecture's tables are in logarithms to base 2; Keras, and all numbers below, use the natural logarithm,
which is `ln 2 = {np.log(2):.3f}` times as large and has its minimum in the same place.

{_lecture_table()}

A certain answer that is wrong costs at most 1 in squared error; in cross-entropy there is no limit.

**One formula for both cases.** `loss = -(y log p + (1 - y) log(1 - p))`: one of the two terms is always 0. Averaged
over `n` rows, it is what Keras calls binary cross-entropy. Below are {settings.patients} of {len(answers)} patients
that the default network was not trained on, from the best answer to the worst:

{_patient_table(shown)}

The mean of these {settings.patients} is {by_hand[0]:.4f} by hand and {by_keras[0]:.4f} by Keras; the mean squared error
is {by_hand[1]:.4f} and {by_keras[1]:.4f}. Over all {len(answers)} the formula gives {over_all:.4f}; the trainer
measured {by_trainer:.4f}.

**Why not squared error?** The network's last step is `p = sigmoid(z)`, and descent moves the logit `z`. The slope of
cross-entropy is `p - y`; that of squared error is `2 (p - y) p (1 - p)`. The factor `p (1 - p)` is almost 0 when the
network is sure, right or wrong. For a sick patient:

{_slope_table(z, *slopes)}

TensorFlow's tape finds the same slopes; the largest difference is {apart:.0e}. The last panel moves one logit, from
`z = {settings.start:g}` with learning rate {settings.learning_rate:g}: {_crossings(paths)}.

In the heart-disease network every weight's gradient is this slope times something else. With squared error the worst
mistakes would hardly move the weights; with cross-entropy they move them most.
""".strip()
    metrics = {
        "cross_entropy": by_hand[0],
        "squared_error": by_hand[1],
        "cross_entropy_all": over_all,
        "largest_difference_to_keras": max(abs(a - b) for a, b in zip(by_hand, by_keras, strict=True)),
        "largest_difference_to_trainer": abs(over_all - by_trainer),
        "largest_difference_to_tape": apart,
    }
    curves = {f"probability/{name}": path.tolist() for name, path in paths.items()}
    return Lesson(TITLE, text, _draw(paths, y, p), metrics, curves)


def _lecture_table() -> str:
    import numpy as np

    p = np.array(LECTURE)
    sick, healthy = cross_entropy(np.ones(()), p), cross_entropy(np.zeros(()), p)
    rows = [
        (f"{q:g}", _cost(a / np.log(2)), _cost(a), _cost((1 - q) ** 2), _cost(b / np.log(2)), _cost(b), _cost(q**2))
        for q, a, b in zip(LECTURE, sick, healthy, strict=True)
    ]
    header = ("p", "-log2 p", "-ln p", "(p - 1)^2", "-log2(1 - p)", "-ln(1 - p)", "p^2")
    return f"Columns 2 to 4 are for a sick patient, 5 to 7 for a healthy one.\n\n{table(header, rows)}"


def _cost(value: float) -> str:
    return "infinite" if value == float("inf") else f"{abs(value):.3g}"


def _patient_table(shown: pd.DataFrame) -> str:
    rows = []
    for row, y, p in shown[["y", "p"]].itertuples():
        term = f"-ln {p:.3f}" if y else f"-ln(1 - {p:.3f})"
        rows.append((row, f"{y:.0f}", f"{p:.3f}", term, f"{cross_entropy(y, p):.4f}", f"{squared_error(y, p):.4f}"))
    return table(("patient (row)", "y", "p", "term that counts", "cross-entropy", "squared error"), rows)


def _slope_table(z: Numbers, entropy: Numbers, error: Numbers) -> str:
    from scipy.special import expit

    rows = [(f"{a:g}", f"{expit(a):.4f}", f"{b:.5f}", f"{c:.5f}") for a, b, c in zip(z, entropy, error, strict=True)]
    return table(("z", "p", "slope of cross-entropy", "slope of squared error"), rows)


def _crossings(paths: dict[str, Numbers]) -> str:
    """After how many steps each path is above one half."""
    import numpy as np

    parts = []
    for name, path in paths.items():
        above = np.flatnonzero(path > 0.5)
        when = f"at step {above[0]}" if len(above) else f"not by step {len(path) - 1}"
        parts.append(f"with {name} `p` passes 1/2 {when}")
    return ", ".join(parts)


def _draw(paths: dict[str, Numbers], y: Numbers, p: Numbers) -> Figure:
    import numpy as np
    from matplotlib.figure import Figure

    from heart_disease.reporting.figures import BLUE, GREY, ORANGE

    figure = Figure(figsize=(9, 7.4), layout="constrained")
    (sick, healthy), (slopes, descent) = figure.subplots(2, 2)
    grid = np.linspace(0.002, 0.998, 500)
    for axes, truth, name, term, power in (
        (sick, 1.0, "sick patient, y = 1", "-ln p", "(p - 1)^2"),
        (healthy, 0.0, "healthy patient, y = 0", "-ln(1 - p)", "p^2"),
    ):
        here, of = y == truth, np.full(1, truth)
        axes.plot(grid, cross_entropy(of, grid), color=BLUE, label=f"cross-entropy, {term}")
        axes.plot(grid, squared_error(of, grid), color=ORANGE, linestyle="--", label=f"squared error, {power}")
        axes.plot(p[here], cross_entropy(y[here], p[here]), "o", color=BLUE, label="patients of the table")
        axes.plot(p[here], squared_error(y[here], p[here]), "o", color=ORANGE)
        axes.set(xlabel="probability p that the network gives", ylabel="loss", title=f"Loss of a {name}", xlim=(0, 1))
        axes.set_ylim(0, 6.4)
        axes.legend(loc="upper center")
    z = np.linspace(-8, 8, 400)
    slopes.plot(z, cross_entropy_slope(np.ones(1), z), color=BLUE, label="cross-entropy, p - 1")
    error = squared_error_slope(np.ones(1), z)
    slopes.plot(z, error, color=ORANGE, linestyle="--", label="squared error, 2 (p - 1) p (1 - p)")
    slopes.axhline(0, color=GREY, linewidth=0.8)
    slopes.set(xlabel="logit z, where p = sigmoid(z)", ylabel="slope by z", title="Slope for a sick patient")
    slopes.set(xticks=range(-8, 9, 2), ylim=(-1.05, 0.32))
    slopes.legend(loc="upper left")
    for (name, path), color, style in zip(paths.items(), (BLUE, ORANGE), ("-", "--"), strict=True):
        descent.plot(path, color=color, linestyle=style, label=name)
    descent.axhline(0.5, color=GREY, linewidth=0.8)
    descent.set(xlabel="step", ylabel="probability p of a sick patient", ylim=(0, 1.02))
    descent.set_title("A confident mistake, corrected step by step")
    descent.legend(loc="center")
    return figure
