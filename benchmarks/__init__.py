"""The measurements behind what docs/ says: speed and size, rates of error, and what faults lose."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the repository
