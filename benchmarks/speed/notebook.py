"""The course's notebook as a plain script: one network, one split, 300 epochs of Keras `fit`.

The yardstick of end_to_end.py. It tracks nothing, validates nothing, saves nothing, and imports none of this project.
`get_dummies` makes a column of each code that occurs in the data: 28, one fewer than the pipeline's 29 inputs.
"""

from __future__ import annotations

from pathlib import Path

import keras
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

NUMBERS = ["age", "trestbps", "chol", "thalach", "oldpeak", "slope"]
CATEGORIES = ["sex", "cp", "fbs", "restecg", "exang", "ca", "thal"]

patients = pd.read_csv(Path(__file__).parent.parent.parent / "heart_disease" / "data" / "patients" / "cleveland.csv")
label = (patients.pop("num") > 0).astype("float32")
patients = pd.get_dummies(patients.fillna({"ca": -1, "thal": -1}), columns=CATEGORIES, dtype="float32")

x_train, x_test, y_train, y_test = train_test_split(patients, label, test_size=0.2, random_state=0)
scaler = StandardScaler().fit(x_train[NUMBERS])
x_train = x_train.assign(**dict(zip(NUMBERS, scaler.transform(x_train[NUMBERS]).T, strict=True))).astype("float32")
x_test = x_test.assign(**dict(zip(NUMBERS, scaler.transform(x_test[NUMBERS]).T, strict=True))).astype("float32")

model = keras.Sequential(
    [
        keras.Input((x_train.shape[1],)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(x_train.to_numpy(), y_train.to_numpy(), epochs=300, batch_size=32, validation_split=0.2, verbose=0)
loss, accuracy = model.evaluate(x_test.to_numpy(), y_test.to_numpy(), verbose=0)
print(f"{x_train.shape[1]} inputs, {model.count_params()} parameters")
print(f"test accuracy {accuracy:.3f}, loss {loss:.3f}")
