"""The suite as a file for other programs, and its derived columns."""

from __future__ import annotations

import json

import great_expectations as gx
import numpy as np
import pytest

from expectations import suite
from heart_disease.data import sources
from heart_disease.model import schema
from tests.harness.data import patients
from tests.harness.data.judging import put


def test_the_json_file_is_the_suite() -> None:
    assert suite.FILE.read_text(encoding="utf-8") == suite.as_json(), "run: python -m expectations.suite"


def test_the_json_file_works_by_itself() -> None:
    again = gx.ExpectationSuite(**json.loads(suite.FILE.read_text(encoding="utf-8")))
    assert json.loads(suite.as_json())["expectations"] == again.to_json_dict()["expectations"]
    assert {rule.severity.value for rule in again.expectations} == {"critical", "warning"}
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("mine").add_dataframe_asset("mine")
    definition = asset.add_batch_definition_whole_dataframe("mine")
    good, bad = patients.make(), put("age", (3, 7.0))(patients.make()).astype(float)
    for frame, passes in ((good, True), (bad, False)):
        batch = definition.get_batch({"dataframe": suite.batch(frame)})
        assert batch.validate(again).success is passes


def test_every_column_of_the_schema_is_in_the_suite() -> None:
    about = {name for rule in suite.build().expectations for name in (rule.meta or {})["columns"]}
    assert about == set(schema.BY_NAME)
    assert all(rule.notes and (rule.meta or {})["rule"] for rule in suite.build().expectations)


def test_derived_columns_hold_share_and_correlations() -> None:
    frame = sources.load().frame
    derived = suite.batch(frame)
    ill = schema.label(frame)
    assert derived["disease"].mean() == pytest.approx(ill.mean())
    for name in suite.DIRECTION:
        assert derived[f"disease_by_{name}"].mean() == pytest.approx(np.corrcoef(ill, frame[name])[0, 1])
