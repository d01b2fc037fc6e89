"""The loss landscape: what the loss looks like around the trained weights, and the way that training took there.

A network has hundreds of weights, so its loss is a landscape over as many directions. Two of them make a picture: two
random ones, scaled as the network's own weights are, and the two along which training moved most. The loss at every
point of both pictures comes from one compiled function, and some points are worked out again in plain NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from heart_disease.lessons.lesson import Lesson, table
from heart_disease.training.recipe import Recipe

if TYPE_CHECKING:
    from heart_disease.evaluation.estimates import Numbers
    from heart_disease.reporting.landscape import Loss, Plane

TITLE = "The loss landscape: where training walks, and where it ends"
CHECKED = 25  # points of a picture that are worked out again
FAR = 0.005  # if the end of the way loses more than the lowest point by this, the text says so


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What may be changed."""

    epochs: Annotated[int, Field(ge=2, le=1000, description="Epochs of the training.")] = 75
    weight_decay: Annotated[float, Field(ge=0, le=100, description="Weight decay of the training.")] = 1.0
    units: Annotated[int, Field(ge=1, le=64, description="Units of the hidden layer.")] = 16
    points: Annotated[int, Field(ge=5, le=201, description="Points of a picture, in each direction.")] = 101
    reach: Annotated[
        float, Field(gt=0, le=20, description="How far the random picture goes, in lengths of the units' weights.")
    ] = 1.5
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Decides weights, shuffles and directions.")] = 0


def plainly(weights: Numbers, loss: Loss) -> float:
    """The mean loss at flat weights (P,), in plain NumPy; the hidden units are rectified."""
    import numpy as np

    from heart_disease.reporting import landscape

    parts, h = landscape.split(weights, loss.widths), loss.x
    for layer in range(len(loss.widths) - 1):
        h = h @ parts[2 * layer] + parts[2 * layer + 1]
        if layer < len(loss.widths) - 2:
            h = np.maximum(h, 0)
    z = h[:, 0]
    return float(np.mean(np.logaddexp(0, z) - loss.y * z))


def train(settings: Settings) -> tuple[Numbers, Loss]:
    """The weights at the start and after each epoch (E + 1, P), and the loss on the rows."""
    import numpy as np

    from heart_disease.data import sources
    from heart_disease.model import schema
    from heart_disease.model.encoding import Encoder
    from heart_disease.reporting import landscape
    from heart_disease.training import engine, network
    from heart_disease.training.batches import Job
    from heart_disease.training.inputs import Inputs

    frame = sources.load().frame
    recipe = Recipe(
        hidden=(settings.units,), epochs=settings.epochs, weight_decay=settings.weight_decay, seed=settings.seed
    )
    inputs, labels = Inputs.of(frame, [Encoder.fit(frame)]), schema.label(frame).to_numpy()
    job = Job(recipe, np.arange(len(frame)), np.arange(0), epochs=tuple(range(1, settings.epochs + 1)))
    after = engine.train(inputs, labels, [job]).weights[0]
    start = np.concatenate([part.ravel() for part in network.initial_weights(recipe, inputs.width)])
    loss = landscape.Loss(inputs[0].astype("float64"), labels, recipe.widths)
    return np.vstack([start, after]).astype("float64"), loss


def run(settings: Settings) -> Lesson:
    """Train, look around, work some points out again, and draw."""
    import numpy as np

    from heart_disease.reporting import landscape

    path, loss = train(settings)
    rng = np.random.default_rng(settings.seed)
    around, along = landscape.planes(path, loss, points=settings.points, reach=settings.reach, seed=settings.seed)

    gap = max(_gap(one, path[-1], loss, rng) for one in (around, along))
    start, end = (plainly(weights, loss) for weights in (path[0], path[-1]))
    lowest = [float(one.loss.min()) for one in (around, along)]
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    straight = float(np.linalg.norm(path[-1] - path[0]))
    rough = _rises(path[-1], path[0], loss)
    shown = table(
        ("picture", "lowest loss in it", "highest", "share of the way in it"),
        [
            (name, f"{one.loss.min():.3f}", f"{one.loss.max():.3g}", f"{one.share:.1%}")
            for name, one in (("two random directions", around), ("the training's two main directions", along))
        ],
    )
    size, decay = path.shape[1], settings.weight_decay
    decayed = f"With a weight decay of {decay:g}" if decay else "Without weight decay"
    bottom = "near the lowest point of the picture"
    if end - lowest[1] > FAR:
        why = ", because decay pulls the weights towards 0" if decay else ""
        bottom = f"beside the lowest point of the picture{why}"
    text = f"""\
The loss of a network is one number for each setting of its weights. This one has {size} weights, so its loss is a
landscape over {size} directions. Nobody can see that, but everybody can see a slice through it: choose two directions,
walk along them from the trained weights, and take down the loss at each of {settings.points} x {settings.points}
points. Each point is a network of its own.

{shown}

**Random directions.** In a network, large weights and small ones can say the same, so a step of fixed length would make
the same valley look wide or narrow. Here the weights into each unit move by as much as they are long, which makes
pictures comparable (Li et al. 2018). At 1 in the picture, every unit's weights have been changed by their own length.
The trained network is in the middle, with a loss of {end:.3f}; the lowest point of the picture has {lowest[0]:.3f}.

**The way of the training.** Random directions show nothing of it: {around.share:.1%} of it lies in their plane, because
in {size} directions nearly all are at right angles to any given one. The two directions along which the weights moved
most hold {along.share:.1%}. In that picture the way starts at a loss of {start:.3f} and ends at {end:.3f}. It is
{length:.3g} long, {length / straight:.2f} times as long as a straight line from start to end. On that line the loss
{rough}. {decayed}, the way ends {bottom}.

**Are the numbers right?** {2 * CHECKED} of the points, drawn at random, were worked out again in plain NumPy, one
network at a time. The largest difference is {gap:.1g} of the loss.

A picture of two directions can hide what happens in the {size - 2} others: a point that looks like the bottom of a bowl
may have a way down that is not in the picture."""
    metrics = {
        "loss at the start": start, "loss at the end": end, "share of the way in the random plane": around.share,
        "share of the way in its main plane": along.share, "largest difference to NumPy": gap,
    }  # fmt: skip
    return Lesson(
        TITLE,
        text,
        landscape.figure(around, along),
        metrics,
        {"loss": [plainly(weights, loss) for weights in path]},
    )


def _gap(one: Plane, end: Numbers, loss: Loss, rng: Any) -> float:
    """The largest difference between points of a picture and plain NumPy, in shares of the loss."""
    found = []
    for i, j in rng.integers(0, len(one.a), (CHECKED, 2)).tolist():
        weights = end + one.a[j] * one.directions[0] + one.b[i] * one.directions[1]
        expected = plainly(weights, loss)
        found.append(abs(one.loss[i, j] - expected) / expected)
    return float(max(found))


def _rises(end: Numbers, start: Numbers, loss: Loss) -> str:
    """Whether the loss rises on the straight line from start to end, in words (Goodfellow et al., ICLR 2015)."""
    import numpy as np

    found = np.array([plainly(start + t * (end - start), loss) for t in np.linspace(0, 1, 51)])
    top = float(np.diff(found).max())
    return "falls all the way" if top <= 0 else f"falls except for rises of at most {top:.2g} from point to point"
