"""The API in this process, for a version with a model of random weights."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from heart_disease.model.patient_model import PatientModel
from heart_disease.registry import ModelRef
from heart_disease.serving import api
from heart_disease.serving.follower import Follower, Loaded
from tests.harness.data import patients
from tests.harness.models import models


@pytest.fixture(scope="session")
def model() -> PatientModel:
    return models.make(patients.make(60))


@pytest.fixture
def follower(model: PatientModel) -> Follower:
    made = Follower("champion")
    made.now = Loaded(ModelRef("heart-disease", "7", "a run"), model, "2026-01-01T00:00:00+00:00")
    return made


@pytest.fixture
def client(follower: Follower) -> TestClient:
    return TestClient(api.application(follower), raise_server_exceptions=False)
