"""A version as a function of Spark: MLflow's `spark_udf`, on a real local Spark. Needs PySpark and Java."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from heart_disease import registry
from heart_disease.model import schema
from tests.harness.data import patients
from tests.registry.test_models import EXAMPLE, a_model

pytestmark = pytest.mark.slow

# docs/scale.md shows the same.
SCRIPT = """
import json
import mlflow
from pyspark.sql import SparkSession

local = {"ui.enabled": "false", "driver.host": "127.0.0.1", "driver.bindAddress": "127.0.0.1"}
builder = SparkSession.builder.master("local[2]")
for name, value in local.items():
    builder = builder.config(f"spark.{name}", value)
spark = builder.getOrCreate()
rows = spark.read.parquet("patients.parquet")
answer = mlflow.pyfunc.spark_udf(
    spark, "models:/heart-disease/1", result_type="probability double, disease string, problem string, unusual string"
)
inputs = [name for name in rows.columns if name != "mrn"]
found = rows.withColumn("answer", answer(*inputs)).select("mrn", "answer.*").orderBy("mrn")
print(json.dumps(found.toPandas().to_dict("list")))
spark.stop()
"""


def test_spark_gives_the_answers_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="PySpark is not installed")
    if not shutil.which("java"):
        pytest.skip("Java is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    model = a_model(1)
    with registry.open_run("a test", {}) as run:
        registry.log_model(run, model, EXAMPLE)
    rows = patients.make(60)[list(schema.INPUT_NAMES)].assign(mrn=range(60))
    rows.loc[7, "age"] = 999
    rows.loc[8, "ca"] = np.nan
    (tmp_path / "patients.parquet").mkdir()
    for part, some in enumerate((rows.head(25), rows.tail(35))):
        some.to_parquet(tmp_path / "patients.parquet" / f"{part}.parquet", index=False)

    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, expected = json.loads(done.stdout.splitlines()[-1]), model.predict(rows)
    assert found["mrn"] == list(range(60))
    known = expected["problem"] == ""
    assert [p for p, told in zip(found["probability"], known, strict=True) if told] == pytest.approx(
        expected["probability"][known].tolist(), abs=1e-6
    )
    assert found["disease"] == expected["disease"].tolist()
    assert found["problem"] == expected["problem"].tolist()
    assert [mrn for mrn, problem in zip(found["mrn"], found["problem"], strict=True) if problem] == [6]
