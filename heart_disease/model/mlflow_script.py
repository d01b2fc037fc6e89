"""The script that MLflow runs to load a registered model (models from code): PatientModel behind MLflow's interface.

It stands beside a copy of this package, `heart_disease_model`, and imports that copy from its folder, under a name that
no other version has. So a program may have imported anything else, and each version still runs its own code.
"""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import pandas as pd

PACKAGE = "heart_disease_model"


def import_copy(folder: Path) -> ModuleType:
    """The package in `folder`, imported once per content, under a name that ends in the digest of the content."""
    files = sorted(folder.glob("*.py"))
    digest = hashlib.sha256(b"".join(file.name.encode() + b"\0" + file.read_bytes() for file in files)).hexdigest()
    name = f"{PACKAGE}_{digest[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec
        assert spec.loader
        package = importlib.util.module_from_spec(spec)
        sys.modules[name] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{name}.patient_model")


class HeartDiseaseModel(mlflow.pyfunc.PythonModel):
    """Raw patient rows in, `PatientModel.predict` out."""

    def load_context(self, context: Any) -> None:
        """Load the two registered folders: the package and the model."""
        patient_model = import_copy(Path(context.artifacts[PACKAGE]))
        self.model = patient_model.PatientModel.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """See `PatientModel.predict`; `params` are its threshold and explain."""
        return self.model.predict(model_input, **(params or {}))


mlflow.models.set_model(HeartDiseaseModel())
