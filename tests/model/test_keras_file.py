"""A stored network read without Keras: it answers as Keras does, and only this project's layers are accepted."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from heart_disease.model import keras_file
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.command import ROOT

INPUTS = np.random.default_rng(0).normal(0, 3, (500, 29)).astype("float32")


def assert_same(model: Any, folder: Path) -> None:
    model.save(folder / "network.keras")
    read = keras_file.read(folder / "network.keras")
    theirs = keras.saving.load_model(folder / "network.keras", compile=False, safe_mode=True)
    assert read(INPUTS).shape == (500, 1)
    assert np.abs(read(INPUTS) - np.asarray(theirs(INPUTS))).max() < 1e-6


def shaken(model: Any) -> Any:
    """The model with biases and answers far from the initial ones."""
    rng = np.random.default_rng(1)
    model.set_weights([weight + rng.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "elu", "gelu", "silu"])
def test_every_activation_of_a_recipe_matches_keras(activation: Any, tmp_path: Path) -> None:
    assert_same(shaken(network.build(Recipe(hidden=(16, 8), activation=activation), 29)), tmp_path)


def test_every_activation_of_a_recipe_is_known() -> None:
    from typing import get_args, get_type_hints

    assert {*get_args(get_type_hints(Recipe)["activation"])} <= {*keras_file.ACTIVATIONS}


@pytest.mark.parametrize("recipe", [Recipe(hidden=()), Recipe(hidden=(4,)), Recipe(hidden=(16, 8, 4), dropout=0.3)])
def test_every_shape_of_a_recipe_matches_keras(recipe: Recipe, tmp_path: Path) -> None:
    assert_same(shaken(network.build(recipe, 29)), tmp_path)


@pytest.mark.parametrize("members", [2, 12])
def test_averaged_members_match_keras(members: int, tmp_path: Path) -> None:
    each = [shaken(network.build(Recipe(seed=k, dropout=0.2), 29, f"member_{k}")) for k in range(members)]
    assert_same(network.average(each), tmp_path)


def test_a_layer_that_carries_code_is_refused(tmp_path: Path) -> None:
    layers = [keras.Input((29,)), keras.layers.Dense(1, "sigmoid"), keras.layers.Lambda(lambda x: x)]
    keras.Sequential(layers).save(tmp_path / "network.keras")
    with pytest.raises(ValueError, match="a layer of class 'Lambda'; expected InputLayer or Dense or Dropout"):
        keras_file.read(tmp_path / "network.keras")


def test_an_activation_that_no_recipe_has_is_refused(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((29,)), keras.layers.Dense(1, "softplus")]).save(tmp_path / "network.keras")
    with pytest.raises(ValueError, match="activation 'softplus'; expected one of relu"):
        keras_file.read(tmp_path / "network.keras")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_a_file_that_is_not_a_keras_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "network.keras").write_bytes(content)
    with pytest.raises(ValueError, match="'network.keras' is no Keras model of this project"):
        keras_file.read(tmp_path / "network.keras")


@pytest.mark.parametrize("config", [[], {}, {"class_name": "Functional", "config": {"layers": []}}])
def test_a_config_that_describes_no_network_is_refused(config: Any, tmp_path: Path) -> None:
    network.build(Recipe(), 29).save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(tmp_path / "other.keras", "w") as other:
        other.writestr("config.json", json.dumps(config))
        other.writestr("model.weights.h5", whole.read("model.weights.h5"))
    with pytest.raises(ValueError):
        keras_file.read(tmp_path / "other.keras")


def test_loading_and_scoring_import_neither_keras_nor_tensorflow(tmp_path: Path) -> None:
    from heart_disease.model.encoding import Encoder
    from heart_disease.model.patient_model import PatientModel
    from tests.harness.data import patients

    PatientModel(Encoder.fit(patients.make(50)), network.build(Recipe(), 29)).save(tmp_path)
    script = (
        "import sys, pathlib\n"
        "from heart_disease.model.patient_model import PatientModel\n"
        "from tests.harness.data import patients\n"
        f"assert PatientModel.load(pathlib.Path({str(tmp_path)!r})).predict(patients.make(3))['probability'].all()\n"
        "sys.exit(', '.join({'keras', 'tensorflow', 'sklearn'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
