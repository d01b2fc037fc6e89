"""Encoder, network and threshold as one model: raw patient rows in UCI codes -> probability and yes or no.

Everything that scores a patient goes through `PatientModel.predict`: the command line, the registered model, and the
check that the two agree. Stored as JSON and a .keras file; no pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import schema
from tasks.encode import Encoder
from tasks.errors import RejectedError


@dataclass(frozen=True)
class PatientModel:
    """`network` is a Keras model of 29 inputs; from `threshold` on the answer is yes.

    learned_from: the digests of the patients that encoder and network were fitted on (`sources.patient_ids`), so that
    whoever compares two models can leave them out; empty where that is not known.
    """

    encoder: Encoder
    network: Any
    threshold: float = 0.5
    learned_from: frozenset[str] = frozenset()

    def predict(self, patients: pd.DataFrame) -> pd.DataFrame:
        """One row a patient: `probability` of heart disease, `disease` ("yes", "no"), and `problem`.

        A row that the schema does not allow has the reason in `problem`, and neither probability nor answer. Columns
        that the model does not know are ignored.

        Raises:
            RejectedError: a column is missing.
        """
        missing = [name for name in schema.INPUT_NAMES if name not in patients]
        if missing:
            raise RejectedError(
                f"column {', '.join(map(repr, missing))} missing; expected {', '.join(schema.INPUT_NAMES)}. "
                "Name the columns in the header."
            )
        problem = pd.Series("", index=patients.index, dtype="object")
        for column in schema.COLUMNS:
            bad = schema.forbidden(patients[column.name], column)
            shown = patients.loc[bad, column.name].map(schema.show)
            text = f"column '{column.name}' has " + shown.astype("object") + f"; expected {column.expected}"
            problem.loc[bad] = problem[bad].where(problem[bad] == "", problem[bad] + "; ") + text
        good = problem == ""
        probability = pd.Series(np.nan, index=patients.index, dtype="float64")
        if good.any():
            rows = patients.loc[good, list(schema.INPUT_NAMES)].apply(pd.to_numeric).astype("float64")
            probability[good] = np.asarray(self.network(self.encoder.transform(rows)))[:, 0]
        answer = np.where(probability >= self.threshold, "yes", "no")
        return pd.DataFrame(
            {"probability": probability, "disease": np.where(good, answer, ""), "problem": problem},
            index=patients.index,
        ).astype({"disease": "object"})

    def save(self, folder: Path) -> None:
        """Write `encoder.json`, `network.keras`, `threshold.json` and `learned_from.txt` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.network.save(folder / "network.keras")
        (folder / "encoder.json").write_text(self.encoder.to_json())
        (folder / "threshold.json").write_text(json.dumps({"threshold": self.threshold}))
        (folder / "learned_from.txt").write_text("".join(f"{digest}\n" for digest in sorted(self.learned_from)))

    @classmethod
    def load(cls, folder: Path) -> PatientModel:
        """Read what `save` wrote."""
        import keras

        learned_from = folder / "learned_from.txt"  # older versions have none
        return cls(
            Encoder.from_json((folder / "encoder.json").read_text()),
            keras.saving.load_model(folder / "network.keras", compile=False, safe_mode=True),
            json.loads((folder / "threshold.json").read_text())["threshold"],
            frozenset(learned_from.read_text().split() if learned_from.exists() else []),
        )
