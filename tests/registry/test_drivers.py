"""Artifact stores and databases that need a package which is not installed, or that it cannot use."""

from __future__ import annotations

import sys

import mlflow
import pytest

from heart_disease import registry
from heart_disease.model.errors import UnavailableError
from heart_disease.registry.access.store import reachable


def missing(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python find no such module."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("address", "module", "package"),
    [
        ("s3://bucket/folder", "boto3", "boto3"),
        ("gs://bucket/folder", "google", "google-cloud-storage"),
        ("wasbs://container@account.blob.core.windows.net/folder", "azure", "azure-storage-blob azure-identity"),
    ],
)
def test_an_artifact_store_names_the_package_that_it_needs(
    address: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(module, monkeypatch)
    name = f"files in {module}"
    registry.open_experiment()
    mlflow.MlflowClient().create_experiment(name, address)
    with (
        pytest.raises(UnavailableError, match=rf"cannot be used: .*{module}.*: pip install {package}$"),
        registry.open_run("a run", {}, experiment=name) as run,
    ):
        registry.log_files(run, "notes", {"note.txt": "written"})


@pytest.mark.parametrize(
    ("address", "module", "package"),
    [
        ("postgresql://u:s3cr3t@127.0.0.1:9/d", "psycopg2", "psycopg2-binary"),
        ("mysql+pymysql://u:s3cr3t@127.0.0.1:9/d", "pymysql", "pymysql"),
    ],
)
def test_a_database_names_the_package_that_it_needs(
    address: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(module, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(UnavailableError, match=rf"pip install {package}$") as caught:
        registry.find_champion()
    assert "s3cr3t" not in str(caught.value)


def test_a_drivers_own_error_is_one_of_the_store() -> None:
    denied = type("NoCredentialsError", (Exception,), {"__module__": "botocore.exceptions"})
    with pytest.raises(UnavailableError, match=r"Unable to locate credentials\. Expected an address and"), reachable():
        raise denied("Unable to locate credentials")


def test_a_missing_module_of_another_kind_is_not_taken_for_a_driver() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), reachable():
        raise ModuleNotFoundError("No module named 'no_such_module'", name="no_such_module")
