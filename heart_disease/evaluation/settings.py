"""How a network is judged, and when a challenger becomes champion: the settings, checked when they are made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class EvaluationOptions:
    """How a network is to be judged, as it is asked for.

    None leaves a setting to the number of patients, and the sensitivity to the champion.
    """

    folds: Annotated[int | None, Field(ge=2, le=50, description="Folds of the cross-validation.")] = None
    repeats: Annotated[int | None, Field(ge=1, le=50, description="Cross-validations, each with different folds.")] = (
        None
    )
    holdout: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Share to hold out once, instead of cross-validation; the course holds out 0.2."),
    ] = None
    sensitivity: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="Share of the sick that the model's answer, yes or no, must find; 0: yes from 0.5 on.",
        ),
    ] = None


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Evaluation(EvaluationOptions):
    """How a network is judged: by repeated cross-validation, or on one part that is held out."""

    folds: Annotated[int, Field(ge=2, le=50, description="Folds of the cross-validation.")] = 10
    repeats: Annotated[int, Field(ge=1, le=50, description="Cross-validations, each with different folds.")] = 5

    def as_dict(self) -> dict[str, Any]:
        """The settings that apply, by name, for JSON and for a tracker."""
        target = {} if self.sensitivity is None else {"sensitivity": self.sensitivity}
        if self.holdout is not None:
            return {"holdout": self.holdout, **target}
        return {"folds": self.folds, "repeats": self.repeats, **target}


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Promotion:
    """When a challenger takes the champion's place."""

    margin: Annotated[
        float,
        Field(ge=0, le=1, description="How much higher a challenger's log loss may be and still count as not worse."),
    ] = 0.02
    promote_if: Annotated[
        Literal["better", "not-worse"],
        Field(description="What moves the champion if the data is the same; on new data, not-worse is enough."),
    ] = "better"
