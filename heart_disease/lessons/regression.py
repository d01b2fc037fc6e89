"""A network without a hidden layer is linear regression, or, behind a sigmoid, logistic regression.

Both are trained by descent on columns of the bundled patients, and end at the coefficients that statsmodels computes
directly: those of `lm` and `glm` in R.
"""

from __future__ import annotations

from dataclasses import dataclass as plain
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from heart_disease.lessons.lesson import Lesson, table
from heart_disease.model.errors import UsageError
from heart_disease.training import libraries

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from heart_disease.evaluation.estimates import Numbers
    from heart_disease.training.recipe import Recipe

TITLE = "Regression: lm and glm are networks without a hidden layer"
TARGET = "thalach"
LINEAR = ("age", "oldpeak", "ca")
LOGISTIC = ("age", "thalach", "oldpeak", "ca")
# Coefficients agree if they differ by less than this share of their standard error, far less than the data can show.
TOLERANCE = 0.001
# If less than this share of the loss is left, it is the rounding of 32-bit numbers.
ROUNDING = 1e-6


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What may be changed."""

    epochs: Annotated[int, Field(ge=1, le=20_000, description="Steps of descent, each on all patients.")] = 600
    learning_rate: Annotated[float, Field(gt=0, lt=10, description="Step size of the descent.")] = 0.3
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Decides the initial weights.")] = 0


@plain(frozen=True)
class Fit:
    """One regression on k - 1 columns, fitted twice.

    network, direct, errors: (k,), the intercept first: the network's coefficients, statsmodels', their standard errors.
    losses: (epochs,) of the network before each step. least: the loss of statsmodels' coefficients.
    """

    columns: tuple[str, ...]
    network: Numbers
    losses: Numbers
    direct: Numbers
    errors: Numbers
    least: float

    @property
    def apart(self) -> Numbers:
        """(k,) how far apart the coefficients are, in standard errors."""
        return abs(self.network - self.direct) / self.errors

    @property
    def excess(self) -> Numbers:
        """(epochs,) the loss above the least, as a share of what it was at first."""
        return (self.losses - self.least) / (self.losses[0] - self.least)


def standardised(frame: pd.DataFrame, names: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Columns (n, d) with mean 0 and standard deviation 1, and their standard deviations before that (d,)."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(frame[list(names)].to_numpy())
    return scaler.transform(frame[list(names)].to_numpy()), scaler.scale_


def largest_learning_rate(x: Numbers) -> float:
    """2 / the largest curvature of the mean squared error of columns (n, d): beyond it, descent diverges.

    The curvature is that of the quadratic with Hessian (2 / n) X'X, X with a column of ones for the intercept. The
    curvature of a sigmoid's mean cross-entropy is at most an eighth of that, because p (1 - p) is at most 1/4.
    """
    import numpy as np

    with_ones = np.column_stack([np.ones(len(x)), x])
    return float(2 / np.linalg.eigvalsh(2 / len(x) * with_ones.T @ with_ones)[-1])


def recipe(settings: Settings) -> Recipe:
    """No hidden layer, all rows in each step, and nothing that pulls the weights to 0."""
    from heart_disease.training.recipe import Recipe

    return Recipe(
        hidden=(), optimizer="gd", epochs=settings.epochs, learning_rate=settings.learning_rate, weight_decay=0.0,
        seed=settings.seed,
    )  # fmt: skip


def linear_network(x: Numbers, y: Numbers, settings: Settings) -> tuple[Numbers, Numbers]:
    """Descent on the mean squared error of x w + b: coefficients (1 + d,), intercept first, and losses (epochs,).

    The pipeline's trainer knows only cross-entropy; the initial weights and the optimizer are the pipeline's.
    """
    import numpy as np

    from heart_disease.training.network import build_optimizer, initial_weights

    keras, tf = libraries.keras(), libraries.tensorflow()
    params = recipe(settings)
    rows, target = tf.constant(x, tf.float32), tf.constant(y[:, None], tf.float32)
    kernel, bias = (keras.Variable(start) for start in initial_weights(params, x.shape[1]))
    optimizer, measure = build_optimizer(params), keras.losses.MeanSquaredError()
    optimizer.build([kernel, bias])

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = measure(target, tf.matmul(rows, kernel) + bias)
        optimizer.apply(tape.gradient(loss, [kernel.value, bias.value]))
        return loss

    losses = np.array([float(step()) for _ in range(settings.epochs)])
    return np.concatenate([bias.numpy(), kernel.numpy()[:, 0]]).astype("float64"), losses


def logistic_network(x: Numbers, y: Numbers, settings: Settings) -> tuple[Numbers, Numbers]:
    """The pipeline's trainer on a network without hidden layers: as `linear_network`, for sigmoid(x w + b)."""
    import numpy as np

    from heart_disease.training.batches import Job
    from heart_disease.training.engine import TRAIN_LOSS, train
    from heart_disease.training.inputs import Inputs

    job = Job(recipe(settings), np.arange(len(x)), np.arange(0))
    networks = train(Inputs.plain(x.astype("float32")), y.astype("float32"), [job])
    *kernel, bias = networks.weights[0][0].astype("float64")
    return np.array([bias, *kernel]), networks.curves[TRAIN_LOSS][0].astype("float64")


def run(settings: Settings) -> Lesson:
    """Both regressions, by descent and by statsmodels.

    Raises:
        UsageError: the learning rate is so large that the descent diverges.
    """
    import numpy as np
    import statsmodels.api as sm

    from heart_disease.data import sources
    from heart_disease.model import schema
    from heart_disease.model.encoding import input_names

    patients = sources.load().frame
    known = patients.dropna(subset=[TARGET, *LINEAR, *LOGISTIC])
    rate, sick = known[TARGET].to_numpy(), schema.label(known).to_numpy()
    (x, _), (z, spreads) = (standardised(known, names) for names in (LINEAR, LOGISTIC))
    largest = largest_learning_rate(x)
    if settings.learning_rate >= largest:
        raise UsageError(
            f"learning_rate (={settings.learning_rate:g}) must be below {largest:.3g}, or the descent diverges: that "
            "is 2 / the largest curvature of the mean squared error on these columns"
        )
    ols = sm.OLS(rate, sm.add_constant(x)).fit()
    logit = sm.Logit(sick, sm.add_constant(z)).fit(disp=0, tol=1e-10)
    linear = Fit(LINEAR, *linear_network(x, rate, settings), ols.params, ols.bse, ols.ssr / len(rate))
    logistic = Fit(LOGISTIC, *logistic_network(z, sick, settings), logit.params, logit.bse, -logit.llf / len(sick))

    odds = dict(zip(LOGISTIC, np.exp(logistic.network[1:] / spreads), strict=True))
    probabilities = 1 / (1 + np.exp(-sm.add_constant(z) @ logistic.network))
    text = f"""
Without a hidden layer a network is one weighted sum, `w1 x1 + w2 x2 + ... + b`. Trained on the squared error, that is
**linear regression** (`lm` in R, `OLS` in statsmodels). With a sigmoid behind it and cross-entropy as the loss it is
**logistic regression** (`glm` with a binomial family, `Logit`). Statisticians solve for the coefficients; here descent
walks to them, {settings.epochs} steps on all rows at once with learning rate {settings.learning_rate:g}. The columns
are standardised, so a coefficient is the effect of one standard deviation. {len(patients) - len(known)} of
{len(patients)} patients have a blank in one of these columns and are left out.

**Maximum heart rate** in beats/min, `lm({TARGET} ~ {" + ".join(LINEAR)})`:

{_coefficients(linear)}

**Heart disease** in logits, `glm(num > 0 ~ {" + ".join(LOGISTIC)}, family = binomial)`, by the trainer of the
heart-disease network with `Recipe(hidden=())`:

{_coefficients(logistic)}

{_verdict(linear, logistic)} The probabilities of the two logistic regressions differ by at most
{np.abs(probabilities - logit.predict()).max():.0e}.

In units: if two patients are alike in the other columns, the one with one more vessel coloured has {odds["ca"]:.2f}
times the odds of disease; a maximum heart rate higher by 10 beats/min multiplies the odds by
{odds["thalach"] ** 10:.2f}.

In the upper panels each dot is the network's coefficient, on the 95 % interval of statsmodels. The lower panel shows
how much of the loss above the least possible is left, down to a millionth, where 32-bit rounding begins. Such lines end
up straight: each step removes the same share. The logistic one is flatter, because the sigmoid's factor `p (1 - p)`
makes its loss less curved.

The heart-disease network adds a hidden layer. That allows for bends, and costs the standard errors: there is no longer
a single best set of weights. So `heart train` compares the network with logistic regression each time. With all
{len(input_names())} inputs the coefficients are not unique even without a hidden layer, because the inputs of a coded
column add up to 1: R leaves one code out; the network needs weight decay to choose.
""".strip()
    metrics = {
        "linear/largest_difference_in_standard_errors": float(linear.apart.max()),
        "logistic/largest_difference_in_standard_errors": float(logistic.apart.max()),
        "linear/mean_squared_error": float(linear.losses[-1]),
        "logistic/cross_entropy": float(logistic.losses[-1]),
    }
    curves = {
        "loss/mean_squared_error": linear.losses.tolist(),
        "loss/cross_entropy": logistic.losses.tolist(),
    }
    return Lesson(TITLE, text, _draw(linear, logistic), metrics, curves)


def _coefficients(fit: Fit) -> str:
    rows = [
        (name, f"{ours:.4f}", f"{theirs:.4f}", f"{error:.4f}", f"{apart:.1e}")
        for name, ours, theirs, error, apart in zip(
            ("intercept", *fit.columns), fit.network, fit.direct, fit.errors, fit.apart, strict=True
        )
    ]
    return table(("coefficient", "network", "statsmodels", "standard error", "apart, in standard errors"), rows)


def _verdict(*fits: Fit) -> str:
    most = max(float(fit.apart.max()) for fit in fits)
    if most < TOLERANCE:
        return f"They agree: no coefficient is further off than {most:.1e} standard errors (allowed: {TOLERANCE:g})."
    return (
        f"They do not agree yet: one coefficient is still {most:.2g} standard errors off (allowed: {TOLERANCE:g}). "
        "The descent needs more epochs or a larger learning rate."
    )


def _draw(linear: Fit, logistic: Fit) -> Figure:
    import numpy as np
    from matplotlib.figure import Figure

    from heart_disease.reporting.figures import BLUE, GREY, ORANGE

    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplot_mosaic([["linear", "logistic"], ["descent", "descent"]], height_ratios=[1, 1.1])
    for name, fit, unit, color, style in (
        ("linear", linear, "beats/min", BLUE, "-"),
        ("logistic", logistic, "logits", ORANGE, "--"),
    ):
        panel, y = axes[name], np.arange(len(fit.columns))
        panel.errorbar(
            fit.direct[1:], y, xerr=1.96 * fit.errors[1:], fmt="none", ecolor=GREY, capsize=4, label="statsmodels, 95 %"
        )
        panel.plot(fit.network[1:], y, "o", color=color, label="network")
        panel.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
        panel.set_yticks(y, fit.columns)
        panel.set_ylim(len(y) - 0.5, -0.9)
        panel.set(xlabel=f"{unit} for one standard deviation", ylabel="column", title=f"{name.capitalize()} regression")
        panel.legend(loc="upper center", ncols=2)
        rounded = np.flatnonzero(fit.excess < ROUNDING)
        shown = fit.excess[: rounded[0] if len(rounded) else None]
        axes["descent"].plot(shown, color=color, linestyle=style, label=f"{name} regression")
    axes["descent"].set(
        xlabel="step", ylabel="share left of the initial excess", yscale="log", title="Loss above the least possible",
    )  # fmt: skip
    axes["descent"].legend()
    return figure
