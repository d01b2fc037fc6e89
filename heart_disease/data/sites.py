"""The four hospitals of the study, as package data: where each one's patients are."""

from __future__ import annotations

from pathlib import Path

# A person types these names. A model learns from Cleveland's patients unless another file is named.
SITES = {
    name: Path(__file__).resolve().with_name("patients") / f"{name}.csv"
    for name in ("cleveland", "hungary", "switzerland", "long-beach")
}
