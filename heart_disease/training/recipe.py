"""The recipe of a network: its settings as plain values, checked when it is made, and frozen.

`RecipeOptions` is what a person asks for, and may leave a few settings to the number of patients
(evaluation/by_rows.py); in a `Recipe` all are decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from heart_disease.model import schema

Units = Annotated[int, Field(ge=1, le=4096)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class RecipeOptions:
    """A recipe as it is asked for: None leaves a setting to the number of patients."""

    hidden: Annotated[
        tuple[Units, ...], Field(description="Units in each hidden layer; none means logistic regression.")
    ] = (16,)
    activation: Annotated[
        Literal["relu", "tanh", "sigmoid", "elu", "gelu", "silu"],
        Field(description="Activation function of the hidden layers."),
    ] = "relu"
    epochs: Annotated[int | None, Field(ge=1, le=100_000, description="Passes over the training rows.")] = None
    batch_size: Annotated[int | None, Field(ge=1, description="Rows per step; gd always takes all rows.")] = None
    learning_rate: Annotated[float, Field(gt=0, lt=100, description="Step size of the optimizer.")] = 1e-3
    optimizer: Annotated[
        Literal["adam", "sgd", "gd"],
        Field(description="adam, sgd (mini-batches), or gd (gradient descent on all rows at once)."),
    ] = "adam"
    momentum: Annotated[float, Field(ge=0, lt=1, description="Momentum of sgd and gd; adam has its own.")] = 0.0
    weight_decay: Annotated[
        float, Field(ge=0, description="Weight decay, decoupled: a step shrinks each weight by rate x decay.")
    ] = 1.0
    dropout: Annotated[float, Field(ge=0, lt=1, description="Share of hidden units left out at each step.")] = 0.0
    members: Annotated[
        int, Field(ge=1, le=64, description="Networks whose probabilities are averaged, each with its own seed.")
    ] = 1
    without: Annotated[
        tuple[str, ...], Field(description="Columns that the network does not get, because they will not be known.")
    ] = ()
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Seed of initial weights, shuffles, dropout and folds.")] = 0

    @field_validator("without")
    @classmethod
    def _in_order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """The columns in the schema's order, so that equal recipes are written in the same way."""
        return tuple(sorted(set(names), key=lambda name: [*schema.INPUT_NAMES, name].index(name)))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unknown = [name for name in self.without if name not in schema.INPUT_NAMES]
        if unknown or len(self.without) == len(schema.INPUT_NAMES):
            named = f"column '{unknown[0]}'" if unknown else "all columns"
            raise ValueError(f"cannot leave out {named}; expected some of {', '.join(schema.INPUT_NAMES)}")
        if self.momentum and self.optimizer == "adam":
            raise ValueError(f"momentum (={self.momentum:g}) belongs to sgd and gd; adam has its own")
        if self.learning_rate * self.weight_decay >= 1:
            raise ValueError(
                f"learning_rate (={self.learning_rate:g}) x weight_decay (={self.weight_decay:g}) must be below 1, "
                "or each step wipes the weights out"
            )
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, units of each hidden layer, and the one output: ``(29, 16, 1)`` with all columns."""
        from heart_disease.model.encoding import input_names  # imports NumPy and pandas, so --help does without

        return (len(input_names(self.without)), *self.hidden, 1)

    @property
    def title(self) -> str:
        """The recipe in one line: ``29-16-1, 75 epochs, decay 1, adam 0.001, relu``; what varies most comes first."""
        return ", ".join(part for part in self._parts().values() if part)

    @property
    def name(self) -> str:
        """The title with what differs from the default in front: ``300 epochs, no decay, 29-16-1, adam 0.001, relu``.

        Where room is scarce, such as in a tracker's table, a name is cut at its end.
        """
        usual, own = Recipe()._parts(), self._parts() | ({} if self.weight_decay else {"decay": "no decay"})
        return ", ".join(sorted(filter(None, own.values()), key=lambda part: part in usual.values()))

    def _parts(self) -> dict[str, str]:
        momentum = f" momentum {self.momentum:g}" if self.momentum else ""
        return {
            "widths": "-".join(map(str, self.widths)),
            "epochs": f"{self.epochs} epochs" if self.epochs is not None else "",
            "decay": f"decay {self.weight_decay:g}" if self.weight_decay else "",
            "dropout": f"dropout {self.dropout:g}" if self.dropout else "",
            "optimizer": f"{self.optimizer} {self.learning_rate:g}{momentum}",
            "activation": self.activation if self.hidden else "",
            "members": f"{self.members} averaged" if self.members > 1 else "",
            "without": f"without {' '.join(self.without)}" if self.without else "",
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, for JSON and for a tracker."""
        return asdict(self)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Recipe(RecipeOptions):
    """The recipe of a network: all that decides its weights, apart from the data."""

    epochs: Annotated[int, Field(ge=1, le=100_000, description="Passes over the training rows.")] = 75
    batch_size: Annotated[int, Field(ge=1, description="Rows per step; gd always takes all rows.")] = 32

    def as_text(self) -> dict[str, str]:
        """Text by name, as a tracker shows it: ``hidden`` is ``16-8``, or ``none``."""
        return {name: str(value) for name, value in self.as_dict().items()} | {
            "hidden": "-".join(map(str, self.hidden)) or "none",
            "without": " ".join(self.without) or "none",
        }

    @classmethod
    def from_text(cls, values: Mapping[str, str]) -> Recipe:
        """The recipe that `as_text` wrote; other names are ignored, and what an older version lacked gets its default.

        Raises:
            ValueError: a value makes no sense.
        """
        fields = cls.__pydantic_fields__  # type: ignore[attr-defined]
        known: dict[str, Any] = {name: value for name, value in values.items() if name in fields}
        if "hidden" in known:
            known["hidden"] = () if known["hidden"] == "none" else tuple(known["hidden"].split("-"))
        if "without" in known:
            known["without"] = () if known["without"] == "none" else tuple(known["without"].split())
        return cls(**known)

    @property
    def size(self) -> int:
        """Number of weights of one network: 497 for 29-16-1."""
        return sum((a + 1) * b for a, b in pairwise(self.widths))


LECTURE = Recipe(epochs=300, weight_decay=0.0)  # the course's
PRESETS: dict[str, RecipeOptions] = {"default": RecipeOptions(), "lecture": LECTURE}
# This is for more rows than one machine holds: a step can take many of them, and no weight decay is needed.
MANY_ROWS = Recipe(epochs=10, batch_size=8192, learning_rate=3e-3, weight_decay=0.0)
