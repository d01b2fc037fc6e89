"""What the user has set for other programs that use Keras must not change what is trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.command import ROOT

pytestmark = pytest.mark.slow  # whole programs

SETTINGS = """
import os
from heart_disease.training import libraries, network
from heart_disease.training.recipe import Recipe
made = network.build(Recipe(hidden=(2,)), 29)
keras = libraries.keras()
assert keras.config.backend() == "tensorflow", keras.config.backend()
assert keras.config.max_epochs() is None
assert {weight.dtype for weight in made.weights} == {"float32"}, made.weights
assert os.environ["KERAS_BACKEND"] == "torch"  # as the user set it, for what comes after
keras.config.set_dtype_policy("mixed_float16")
assert {layer.compute_dtype for layer in network.build(Recipe(hidden=(2,)), 29).layers} == {"float32"}
"""
ANOTHER = """
import sys, types
sys.modules["keras"] = types.ModuleType("keras")
sys.modules["keras"].config = types.SimpleNamespace(backend=lambda: "torch")
from heart_disease.training import libraries
libraries.keras()
"""


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False)


def test_settings_for_other_programs_change_nothing(tmp_path: Path) -> None:
    (tmp_path / ".keras").mkdir()
    settings = {"floatx": "float16", "backend": "jax", "epsilon": 0.1, "image_data_format": "channels_first"}
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    done = python(SETTINGS, HOME=str(tmp_path), KERAS_BACKEND="torch", KERAS_MAX_EPOCHS="1", TF_USE_LEGACY_KERAS="1")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / ".keras" / "keras.json").read_text()) == settings


def test_keras_with_another_backend_is_refused_with_the_remedy() -> None:
    assert "expected 'tensorflow'. Set KERAS_BACKEND=tensorflow before the first import" in python(ANOTHER).stderr
