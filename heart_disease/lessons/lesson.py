"""What a lesson is made of, and where to find each."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from heart_disease.model.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# In the order of the lecture.
NAMES = ("descent", "gradient", "loss", "regression", "backprop", "optimizers", "overfitting", "columns")


@dataclass(frozen=True)
class Lesson:
    """What one run of a lesson found.

    text: the explanation in Markdown, with the numbers of this very run; paragraphs, lists and tables.
    figure: what the text talks about.
    metrics: single numbers by name. curves: by name, a value for each step from 0.
    """

    title: str
    text: str
    figure: Figure
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def png(self) -> bytes:
        """The figure, drawn."""
        out = io.BytesIO()
        self.figure.savefig(out, format="png", dpi=110)
        return out.getvalue()

    def _repr_markdown_(self) -> str:
        """In a notebook: the text, then the figure."""
        picture = base64.b64encode(self.png).decode()
        return f"{self.text}\n\n![{self.title}](data:image/png;base64,{picture})"


def find(name: str) -> ModuleType:
    """The module of the lesson `name`.

    Raises:
        UsageError: there is no such lesson.
    """
    if name not in NAMES:
        raise UsageError(f"no lesson '{name}'; expected one of {', '.join(NAMES)}, or all")
    return import_module(f"heart_disease.lessons.{name}")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *[[str(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
