"""How recipes are searched: the settings, checked when they are made."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

MOST_CONFIGURATIONS = 100_000
Configurations = Annotated[
    int, Field(ge=1, le=MOST_CONFIGURATIONS, description="How many configurations to draw at random.")
]
InnerFolds = Annotated[int, Field(ge=2, le=20, description="Inner folds of the nested cross-validation.")]
Seed = Annotated[int, Field(ge=0, lt=2**31, description="Seed of draws, folds and networks.")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Search:
    """How recipes are searched."""

    configurations: Configurations = 200
    inner_folds: InnerFolds = 5
    seed: Seed = 0
