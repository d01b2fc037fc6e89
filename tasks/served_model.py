"""The script that MLflow runs to load a registered model (models from code): PatientModel behind MLflow's interface."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from tasks.patient_model import PatientModel


class ServedModel(mlflow.pyfunc.PythonModel):
    """Raw patient rows in, `PatientModel.predict` out."""

    def load_context(self, context: Any) -> None:
        """Load the folder that was registered as the artifact `model`."""
        self.model = PatientModel.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """See `PatientModel.predict`."""
        return self.model.predict(model_input)


mlflow.models.set_model(ServedModel())
