"""The tutorials' way: the notebook's network as four Prefect tasks, with MLflow as its documentation shows it.

One network, one split, no intervals, no validation. MLflow's own Keras callback logs the metrics; the model is logged
and registered with the requirements that MLflow guesses; Prefect's ephemeral server runs with its defaults, and the
embedded stores are in the working directory. It imports none of this project. It does not use autolog, which with
`registered_model_name` on SQLite registers nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import mlflow
import pandas as pd
from mlflow.models import infer_signature
from prefect import flow, task
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

NUMBERS = ["age", "trestbps", "chol", "thalach", "oldpeak", "slope"]
CATEGORIES = ["sex", "cp", "fbs", "restecg", "exang", "ca", "thal"]
EPOCHS, BATCH_SIZE = 300, 32


@task
def load(path: str) -> pd.DataFrame:
    """The 303 patients."""
    return pd.read_csv(path)


@task
def preprocess(patients: pd.DataFrame) -> tuple[Any, Any, Any, Any]:
    """One-hot codes, standardised numbers, and a split of 80/20."""
    label = (patients["num"] > 0).astype("float32")
    features = patients.drop(columns="num").fillna({"ca": -1, "thal": -1})
    features = pd.get_dummies(features, columns=CATEGORIES, dtype="float32").astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(features, label, test_size=0.2, random_state=0)
    scaler = StandardScaler().fit(x_train[NUMBERS])
    x_train, x_test = x_train.copy(), x_test.copy()
    x_train[NUMBERS] = scaler.transform(x_train[NUMBERS]).astype("float32")
    x_test[NUMBERS] = scaler.transform(x_test[NUMBERS]).astype("float32")
    return x_train.to_numpy(), x_test.to_numpy(), y_train.to_numpy(), y_test.to_numpy()


@task
def train(x_train: Any, y_train: Any) -> keras.Model:
    """Fit the network, its metrics going to MLflow."""
    model = keras.Sequential(
        [
            keras.Input((x_train.shape[1],)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    callbacks = [mlflow.keras.MlflowCallback()]
    model.fit(
        x_train, y_train, epochs=EPOCHS, batch_size=BATCH_SIZE, validation_split=0.2, verbose=0, callbacks=callbacks
    )
    return model


@task
def evaluate(model: keras.Model, x_test: Any, y_test: Any) -> float:
    """Accuracy on the held-out fifth."""
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    mlflow.log_metrics({"test_loss": loss, "test_accuracy": accuracy})
    return float(accuracy)


@flow(name="heart-disease-tutorial")
def pipeline(path: str) -> float:
    """Load -> preprocess -> train -> evaluate -> register."""
    mlflow.set_experiment("heart-disease-tutorial")
    with mlflow.start_run():
        mlflow.log_params({"epochs": EPOCHS, "batch_size": BATCH_SIZE})
        x_train, x_test, y_train, y_test = preprocess(load(path))
        model: Any = train(x_train, y_train)
        accuracy = evaluate(model, x_test, y_test)
        signature = infer_signature(x_test, model.predict(x_test, verbose=0))
        mlflow.keras.log_model(model, name="model", signature=signature, registered_model_name="heart-disease-tutorial")
    return accuracy


if __name__ == "__main__":
    patients = Path(__file__).parent.parent.parent / "heart_disease" / "data" / "patients" / "cleveland.csv"
    print(f"test accuracy {pipeline(str(patients)):.3f}")
