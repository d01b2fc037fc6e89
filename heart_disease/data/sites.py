"""The four hospitals of the study, as package data: where each one's patients are."""

from __future__ import annotations

from pathlib import Path

# By the name that a person types. Cleveland's patients are those that a model learns from unless another file is named.
SITES = {
    name: Path(__file__).resolve().with_name("patients") / f"{name}.csv"
    for name in ("cleveland", "hungary", "switzerland", "long-beach")
}
