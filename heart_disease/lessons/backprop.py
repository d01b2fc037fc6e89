"""Back-propagation: every derivative of the loss in one pass back through the network, layer by layer.

On the lecture's network of two inputs and three hidden units, each of the 13 derivatives stands next to TensorFlow's.
On the real network, its cost is compared with that of trying out every weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from heart_disease.lessons.lesson import Lesson, check_patient, table
from heart_disease.lessons.passes import Pass, backward, cost, forward, largest_gap, loss, starting_weights
from heart_disease.training import libraries
from heart_disease.training.recipe import Recipe

if TYPE_CHECKING:
    from heart_disease.evaluation.estimates import Numbers

TITLE = "Back-propagation: all derivatives in one pass back"
INPUTS = ("thalach", "oldpeak")  # the two columns that the small network sees


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What may be changed."""

    patient: Annotated[int, Field(ge=1, description="The patient who goes through the small network.")] = 3
    units: Annotated[int, Field(ge=1, le=4, description="Hidden units of the small network.")] = 3
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Decides the initial weights.")] = 0
    widths: Annotated[
        tuple[Annotated[int, Field(ge=1, le=64)], ...],
        Field(max_length=6, description="Hidden units of further networks to time, beside the pipeline's 16."),
    ] = (1, 4, 64)
    repeats: Annotated[int, Field(ge=1, le=1000, description="Timings, of which the median counts.")] = 20


def by_tape(params: Recipe, x: Numbers, y: Numbers) -> list[Numbers]:
    """The same derivatives as TensorFlow's tape finds them, on the pipeline's Keras network."""
    keras = libraries.keras()
    tf = libraries.tensorflow()

    from heart_disease.training.network import build

    model = build(params, x.shape[1])
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(keras.losses.binary_crossentropy(y, model(x)))
    return [part.numpy() for part in tape.gradient(value, model.trainable_variables)]


def weight_names(units: int) -> list[str]:
    """The weights of the small network in the order of their arrays: ``thalach -> unit 1``, ``bias of unit 1``."""
    hidden = [f"unit {k + 1}" for k in range(units)]
    first = [f"{name} -> {unit}" for name in INPUTS for unit in hidden]
    last = [f"{unit} -> output" for unit in hidden]
    return [*first, *(f"bias of {unit}" for unit in hidden), *last, "bias of output"]


def run(settings: Settings) -> Lesson:
    """One patient through the small network and back, and the cost of a gradient of the real one.

    Raises:
        UsageError: there is no such patient.
    """
    import numpy as np

    from heart_disease.data import sources
    from heart_disease.lessons.backprop_figure import draw
    from heart_disease.model import encoding, schema

    frame = sources.load().frame.sort_index()
    check_patient(settings.patient, frame)
    encoded = encoding.Encoder.fit(frame).transform(frame).astype("float64")  # (303, 29)
    labels = schema.label(frame).to_numpy("float64")[:, None]  # (303, 1)
    [row] = np.flatnonzero(frame.index == settings.patient).tolist()
    x = encoded[row : row + 1, [encoding.input_names().index(name) for name in INPUTS]]  # (1, 2)
    y = labels[row : row + 1]  # (1, 1)
    params = Recipe(hidden=(settings.units,), seed=settings.seed)
    weights = starting_weights(params, len(INPUTS))
    kept = forward(weights, x)
    slopes, theirs = backward(weights, kept, y), by_tape(params, x, y)
    gap = largest_gap(slopes, theirs)
    before = loss(kept, y)
    after = loss(forward([w - 0.1 * slope for w, slope in zip(weights, slopes, strict=True)], x), y)

    real = Recipe(seed=settings.seed)
    costs = [
        cost(Recipe(hidden=(width,), seed=settings.seed), encoded, labels, settings.repeats)
        for width in sorted({*settings.widths, *real.hidden})
    ]
    weights_real = starting_weights(real, encoded.shape[1])
    real_slopes = backward(weights_real, forward(weights_real, encoded), labels)
    gap_real = largest_gap(real_slopes, by_tape(real, encoded, labels))
    mine = next(one for one in costs if one.parameters == sum(part.size for part in weights_real))
    longer = mine.seconds["finite differences"] / mine.seconds["back-propagation"]

    flat = [np.concatenate([np.ravel(part) for part in parts]) for parts in (weights, slopes, theirs)]
    listed = table(
        ("weight", "value", "derivative, by matrix products", "by TensorFlow's tape"),
        [
            (name, f"{w:.4f}", f"{ours:.6f}", f"{round(tape, 6) + 0.0:.6f}")
            for name, w, ours, tape in zip(weight_names(settings.units), *flat, strict=True)
        ],
    )
    costs_table = table(
        ("weights", "way", "forward passes", "time", "times as long"),
        [
            (one.parameters, way, one.passes[way], _ms(one.seconds[way]), f"{one.seconds[way] / quickest:.0f}")
            for one in costs
            for quickest in (one.seconds["back-propagation"],)
            for way in one.seconds
        ],
    )
    resting = [str(k + 1) for k in np.flatnonzero(kept.z[0][0] <= 0)]
    units = f"unit{'s' * (len(resting) > 1)} {' and '.join(resting)}"
    quiet = f"Hidden {units} gave 0, and a ReLU at 0 lets nothing back: the weights before it have the derivative 0."
    u, sick = settings.units, "has" if y[0, 0] else "does not have"
    text = f"""\
A network learns from the derivatives of its loss, one for every weight. The lecture's small network has 2 inputs, {u}
hidden units with ReLU and one sigmoid output: 2 x {u} + {u} + {u} x 1 + 1 = {flat[0].size} weights. Here it is, with
the pipeline's initial weights and patient {settings.patient} of the file, who {sick} heart disease; it sees
`{INPUTS[0]}` and `{INPUTS[1]}`, standardised. The picture shows every value on the way forward, and beneath it how the
loss changes with it.

{_steps(weights, kept, slopes, y, before)}

Each line of the way back uses only what the lines above it have found and what the way forward has left behind. That is
the chain rule, layer by layer; a whole batch of patients goes through the same products, as more rows.
{quiet if resting else ""}

{listed}

The two columns differ by {gap:.1g} at most; TensorFlow works in single precision here. A step of 0.1 against these
derivatives moves the loss from {before:.4f} to {after:.4f}.

**What it costs.** The plain way to a derivative is to move a weight a little up, then down, and look at the loss: two
forward passes per weight. Measured for one gradient over all {len(encoded)} patients, where the network with
{mine.parameters} weights is the pipeline's own:

{costs_table}

For the pipeline's network the plain way takes {longer:.0f} times as long; the two agree within
{mine.gap:.1g}, and with TensorFlow's within {gap_real:.1g}. Its {mine.passes["finite differences"]} forward passes grow
with the number of weights, while back-propagation stays at one forward and one backward pass: the more weights, the
more that matters."""
    metrics = {
        "loss": before, "loss after a step": after, "largest difference to the tape": gap,
        "largest difference to the tape on the real network": gap_real,
        "largest difference to finite differences": mine.gap, "weights": float(flat[0].size),
        "finite differences per back-propagation": longer,
        "back-propagation seconds": mine.seconds["back-propagation"],
        "finite differences seconds": mine.seconds["finite differences"],
    }  # fmt: skip
    return Lesson(TITLE, text, draw(INPUTS, weights, kept, slopes, y, costs), metrics)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2g} ms" if seconds < 0.1 else f"{1000 * seconds:.0f} ms"


def _steps(weights: list[Numbers], kept: Pass, slopes: list[Numbers], y: Numbers, value: float) -> str:
    """The way forward and the way back as a table of matrix products with shapes and values."""
    import numpy as np

    def show(values: Numbers) -> str:
        rows = np.atleast_2d(values)
        return "; ".join(" ".join(f"{v:.3f}" for v in row) for row in rows)

    u = weights[1].size
    rows: list[tuple[str, str, str, str]] = [
        ("forward", "`z1 = x W1 + b1`", f"(1 x 2)(2 x {u}) = 1 x {u}", show(kept.z[0])),
        ("", "`h1 = max(z1, 0)`", f"1 x {u}", show(kept.h[1])),
        ("", "`z2 = h1 W2 + b2`", f"(1 x {u})({u} x 1) = 1 x 1", show(kept.z[1])),
        ("", "`p = 1 / (1 + e^-z2)`", "1 x 1", show(kept.h[2])),
        ("", "`loss = -log p`" if y[0, 0] else "`loss = -log(1 - p)`", "", f"{value:.3f}"),
        ("back", f"`D2 = p - y`, y = {y[0, 0]:g}", "1 x 1", show(slopes[3])),
        ("", "by W2: `h1^T D2`; by b2: `D2`", f"({u} x 1)(1 x 1) = {u} x 1", show(slopes[2].T)),
        ("", "`D1 = D2 W2^T`, 0 where z1 < 0", f"(1 x 1)(1 x {u}) = 1 x {u}", show(slopes[1])),
        ("", "by W1: `x^T D1`; by b1: `D1`", f"(2 x 1)(1 x {u}) = 2 x {u}", show(slopes[0])),
    ]
    return table(("way", "step", "shapes", "values"), rows)
