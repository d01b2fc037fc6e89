"""TensorFlow and Keras, imported when they are needed, and set up as this project expects them: TensorFlow, float32.

Both read variables and `~/.keras/keras.json`, which belong to the user's other programs and would change what is
trained, or end a training in the middle. They are read at the first import, so every import goes through here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from heart_disease.model.errors import UnavailableError
from heart_disease.processes.garbage import uncollected

BACKEND = "tensorflow"
# None: not set during the import. Keras finds no keras.json in /dev/null, and cannot write one there.
SETTINGS = {
    "KERAS_BACKEND": BACKEND,
    "KERAS_HOME": os.devnull,
    "KERAS_MAX_EPOCHS": None,
    "KERAS_MAX_STEPS_PER_EPOCH": None,
    "TF_USE_LEGACY_KERAS": None,
}


def tensorflow() -> Any:
    """The module tensorflow."""
    keras()
    return sys.modules["tensorflow"]


def keras() -> Any:
    """The module keras, on TensorFlow and with 32-bit floats.

    Raises:
        UnavailableError: this process has already imported Keras with another backend.
    """
    if "keras" not in sys.modules:
        with _set(SETTINGS), uncollected():
            import keras
            import tensorflow  # noqa: F401
    import keras

    if keras.config.backend() != BACKEND:
        raise UnavailableError(
            f"Keras was imported with the backend '{keras.config.backend()}' before; expected '{BACKEND}'. Set "
            f"KERAS_BACKEND={BACKEND} before the first import of Keras in this process."
        )
    # The caller of this process may have set these by hand.
    if keras.config.floatx() != "float32":
        keras.config.set_floatx("float32")
    if keras.config.dtype_policy().name != "float32":
        keras.config.set_dtype_policy("float32")
    return keras


@contextmanager
def _set(variables: dict[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    _write(variables)
    try:
        yield
    finally:
        _write(before)


def _write(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
