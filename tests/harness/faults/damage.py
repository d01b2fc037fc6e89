"""Ways in which someone with write access to the artifact store could damage a registered version's files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow
import yaml

from heart_disease import registry


def files_of(version: str) -> Path:
    """Where the store keeps the files of a version."""
    source = mlflow.MlflowClient().get_model_version(registry.MODEL, version).source
    model_id = source.rsplit("/", 1)[-1]
    return Path(mlflow.MlflowClient().get_logged_model(model_id).artifact_location.removeprefix("file://"))


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


# The attacks. Each takes the model's folder, and the file (`trace`) that its code creates if it is executed.


def plant_a_pickle(folder: Path, trace: Path) -> None:
    (folder / "artifacts" / "model" / "encoder.pkl").write_bytes(pickle.dumps(Malicious(trace)))


def plant_a_pickle_under_another_name(folder: Path, trace: Path) -> None:
    (folder / "artifacts" / "model" / "learned_from.npy").write_bytes(pickle.dumps(Malicious(trace)))


def plant_a_pickle_in_pythons_cache(folder: Path, trace: Path) -> None:
    """Python's cache is no file of a version, so the rest of the folder is damaged too, for the load to be refused."""
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "mlflow_script.cpython-311.pyc").write_bytes(pickle.dumps(Malicious(trace)))
    flip_a_byte(folder, trace)


def plant_a_joblib(folder: Path, trace: Path) -> None:
    (folder / "model.joblib").write_bytes(pickle.dumps(Malicious(trace)))


def make_it_a_pickled_model(folder: Path, trace: Path) -> None:
    """Like MLflow's own pickled models: a python_model.pkl, and an MLmodel that says to load it."""
    (folder / "python_model.pkl").write_bytes(cloudpickle.dumps(Malicious(trace)))
    meta = yaml.safe_load((folder / "MLmodel").read_text())
    meta["flavors"]["python_function"] |= {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"}
    (folder / "MLmodel").write_text(yaml.safe_dump(meta))


def replace_the_script(folder: Path, trace: Path) -> None:
    (folder / "mlflow_script.py").write_text(f"import pathlib\npathlib.Path({str(trace)!r}).touch()\n")


def replace_the_code(folder: Path, trace: Path) -> None:
    (folder / "artifacts" / "heart_disease_model" / "__init__.py").write_text(
        f"import pathlib\npathlib.Path({str(trace)!r}).touch()\n"
    )


def flip_a_byte(folder: Path, trace: Path) -> None:
    path = folder / "artifacts" / "model" / "network.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rename_a_file(folder: Path, trace: Path) -> None:
    (folder / "requirements.txt").rename(folder / "requirement.txt")


def remove_a_file(folder: Path, trace: Path) -> None:
    (folder / "conda.yaml").unlink()
