"""The space that a sweep searches: which values each part of a recipe may take, and the configurations drawn from it.

A space is a mapping, in YAML or in code, from a part of the recipe to its values:

    hidden: [[8], [16], [16, 8]]              # a list: one of these
    learning_rate: {low: 0.0003, high: 0.01}  # a range, drawn evenly on a logarithmic scale; random search only
    dropout: {low: 0, high: 0.5, scale: linear}
    epochs: [25, 50, 100, 200]                # cost nothing: all are measured on the longest run

`hidden: [16, 8]` is two networks of one layer each, `hidden: [[16, 8]]` is one of two layers, `none` has no layer.
`without: [none, [ca, thal]]` is one network with all columns and one that does not get two of them.
Parts that are not named are as in the default recipe. A configuration is everything except the epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import log, prod
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from heart_disease.model.errors import UsageError
from heart_disease.search.settings import MOST_CONFIGURATIONS
from heart_disease.training.recipe import Recipe

SEARCHED = (
    "hidden", "activation", "optimizer", "momentum", "learning_rate", "weight_decay", "dropout", "batch_size",
    "without", "epochs",
)  # fmt: skip
LISTED = {"hidden": int, "without": str}  # parts that are lists, and what one of their values is
RANGED = ("momentum", "learning_rate", "weight_decay", "dropout")
DEFAULT: dict[str, Any] = {
    "hidden": [[8], [16], [32], [16, 8]],
    "activation": ["relu", "tanh"],
    "learning_rate": {"low": 3e-4, "high": 1e-2},
    "weight_decay": [0.0, 0.1, 0.3, 1.0, 3.0],
    "dropout": [0.0, 0.0, 0.2, 0.4],  # half of the configurations have none
    "batch_size": [32],
    "epochs": [10, 25, 50, 75, 100, 150, 200],
}
DRAWS = 1000  # after so many per wanted configuration, a search is content with fewer


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, evenly on a `linear` or a `log` scale."""

    low: float
    high: float
    scale: str

    def draw(self, rng: np.random.Generator) -> float:
        """One value, rounded to 4 digits unless the range is narrower than that."""
        if self.scale == "log":
            value = float(np.exp(rng.uniform(log(self.low), log(self.high))))
        else:
            value = float(rng.uniform(self.low, self.high))
        return min(max(float(f"{value:.4g}"), self.low), self.high)


@dataclass(frozen=True)
class Space:
    """values: for each part of the recipe, the values it may take. epochs: ascending."""

    values: Mapping[str, Sequence[Any] | Range]
    epochs: tuple[int, ...]


def read_space(path: Path | None) -> dict[str, Any]:
    """The space in a YAML file as plain values that `make_space` takes, or the default one.

    Raises:
        UsageError: there is no such file, or it is not a mapping of parts of a recipe to values that make sense.
    """
    if path is None:
        return DEFAULT
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}; expected a YAML file with a space.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an impossible date, too many brackets
        raise UsageError(f"'{path}' is not YAML: {' '.join(str(error).split())}") from error
    try:
        make_space(given)
    except UsageError as error:
        raise UsageError(f"'{path}': {error}") from error
    return dict(given)


def as_yaml(space: Mapping[str, Any]) -> str:
    """The space as YAML that `read_space` can read."""
    return yaml.safe_dump(dict(space), default_flow_style=None, sort_keys=False)


def make_space(given: Any) -> Space:
    """A space from plain values; see the top of this module.

    Raises:
        UsageError: it is not a mapping of parts of a recipe to values that make sense, each alone and all together.
    """
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"expected a mapping such as 'dropout: [0, 0.2]'; got {short(given) if given else 'nothing'}")
    unknown = sorted(map(str, set(given) - set(SEARCHED)))
    if unknown:
        raise UsageError(f"{short(unknown[0])} cannot be searched; expected {', '.join(SEARCHED)}")
    values = {name: _values(name, given[name]) for name in SEARCHED if name in given}
    epochs = values.pop("epochs", [Recipe().epochs])
    assert not isinstance(epochs, Range)
    _check_together(values)
    return Space(values, tuple(sorted(set(epochs))))


def _values(name: str, given: Any) -> Sequence[Any] | Range:
    if isinstance(given, Mapping):
        return _range(name, given)
    values = given if isinstance(given, list) else [given]
    if not values:
        raise UsageError(f"{name}: expected at least one value; got an empty list")
    return [_checked(name, value) for value in values]


def _checked(name: str, value: Any) -> Any:
    """The value as `Recipe` stores it."""
    if name in LISTED:
        value = [] if value == "none" else [value] if isinstance(value, LISTED[name]) else value
    if any(isinstance(part, bool) for part in (value if isinstance(value, list) else [value])):
        # pydantic would take it for 1 or 0.
        raise UsageError(f"{name}: {short(value)}: expected a value that is not yes, no, true or false")
    # This checks the value alone; `_check_together` finds values that do not go together.
    base = {"optimizer": "sgd", "learning_rate": 1e-300, "weight_decay": 0.0}
    try:
        return getattr(Recipe(**{**base, name: value}), name)
    except ValidationError as error:
        raise UsageError(f"{name}: {short(value)}: {_in_words(error)}") from error


def _range(name: str, given: Mapping[str, Any]) -> Range:
    if name not in RANGED:
        raise UsageError(f"{name}: expected a list of values; a range is for {', '.join(RANGED)}")
    scale = given.get("scale", "log")
    ends = [given.get("low"), given.get("high")]
    if not {"low", "high"} <= set(given) <= {"low", "high", "scale"} or scale not in ("log", "linear"):
        raise UsageError(f"{name}: expected {{low: L, high: H, scale: log or linear}}; got {short(dict(given))}")
    low, high = (float(_checked(name, end)) for end in ends)
    if low >= high or (scale == "log" and low <= 0):
        raise UsageError(f"{name}: expected low below high, and low above 0 on a log scale; got {low:g} to {high:g}")
    return Range(low, high, scale)


def _check_together(values: Mapping[str, Sequence[Any] | Range]) -> None:
    """Check the most extreme combinations: if they make sense, all do, and no search fails by what it draws."""

    def most(name: str) -> float:
        given = values.get(name, [getattr(Recipe(), name)])
        return given.high if isinstance(given, Range) else max(given)

    extreme: dict[str, Any] = {name: most(name) for name in ("momentum", "learning_rate", "weight_decay")}
    optimizers = values.get("optimizer", [Recipe().optimizer])
    assert not isinstance(optimizers, Range)
    for optimizer in optimizers:
        try:
            Recipe(optimizer=optimizer, **extreme)
        except ValidationError as error:
            raise UsageError(f"a combination of the space makes no sense: {_in_words(error)}") from error


def _in_words(error: ValidationError) -> str:
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def grid(space: Space, seed: int = 0) -> list[Recipe]:
    """Every combination of the listed values, each with the most epochs.

    Raises:
        UsageError: a part has a range, or there are too many combinations.
    """
    ranges = [name for name, values in space.values.items() if isinstance(values, Range)]
    if ranges:
        raise UsageError(f"a grid needs lists; {', '.join(ranges)} has a range. List its values, or search at random.")
    lists = [list(dict.fromkeys(values)) for values in space.values.values() if not isinstance(values, Range)]
    if prod(map(len, lists)) > MOST_CONFIGURATIONS:
        raise UsageError(
            f"a grid of {prod(map(len, lists))} configurations; expected at most {MOST_CONFIGURATIONS}. Leave values "
            "out, or search at random."
        )
    return [_configuration(space, row, seed) for row in product(*lists)]


def sample(space: Space, count: int, seed: int = 0) -> list[Recipe]:
    """`count` combinations drawn at random, no two alike, each with the most epochs; all of them if there are fewer.

    A value that a list repeats is drawn more often.
    """
    distinct = [len(set(values)) for values in space.values.values() if not isinstance(values, Range)]
    if len(distinct) == len(space.values) and prod(distinct) <= count:
        return grid(space, seed)
    rng = np.random.default_rng(seed)
    found: dict[Recipe, None] = {}
    for _ in range(DRAWS * count):  # this finds nearly all if narrow ranges have fewer
        found[_configuration(space, [_draw(values, rng) for values in space.values.values()], seed)] = None
        if len(found) == count:
            break
    return list(found)


def _draw(values: Sequence[Any] | Range, rng: np.random.Generator) -> Any:
    return values.draw(rng) if isinstance(values, Range) else values[int(rng.integers(len(values)))]


def _configuration(space: Space, row: Sequence[Any], seed: int) -> Recipe:
    return Recipe(**dict(zip(space.values, row, strict=True)), epochs=space.epochs[-1], seed=seed)
