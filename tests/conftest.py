"""One Prefect server and one MLflow store for the whole test run, both temporary."""

from __future__ import annotations

import gc
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import absl.logging
import pytest
from hypothesis import HealthCheck, settings

from heart_disease.cli.main import ENVIRONMENT
from heart_disease.processes import garbage
from heart_disease.processes.loopback import spare_from_proxies

for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
spare_from_proxies()
gc.set_threshold(garbage.OBJECTS)

# Prefect's logging set-up closes all handlers; TensorFlow's handler would close the stream it found, which is pytest's.
absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)

# If its server answers late, Prefect's thread that sends logs writes to stderr, in the middle of a later test that
# compares stderr. (A log line that cannot be formatted still fails its test: pytest's own handler raises.)
logging.raiseExceptions = False

# The same examples in every run, no time limit for making or trying them, because the machine may be busy, and no
# database of earlier failures.
settings.register_profile(
    "heart",
    derandomize=True,
    max_examples=50,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("heart")


# Files whose slow tests take minutes, the longest first. Each runs in one process, so that one of them must not be the
# last to begin: then it would run alone. pytest-xdist would begin with the files that have the most tests.
LONGEST = (
    "servers/test_faults.py",
    "servers/test_servers.py",
    "operations/test_schedule.py",
    "cli/champion/test_reproduce.py",
    "cli/champion/test_comparison.py",
    "flows/test_sweep_resumed.py",
    "flows/train/test_retrain.py",
    "servers/test_browser.py",
    "serving/test_follower.py",
    "flows/train/test_rerun.py",
    "training/test_engine.py",
    "search/test_clusters.py",
    "training/test_distributed.py",
    "serving/test_rehearsal.py",
    "servers/test_faults_embedded.py",
    "flows/test_sweep.py",
    "serving/test_page_in_browser.py",
    "operations/server/test_follow.py",
    "flows/train/test_own_columns.py",
)


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out the tests that are slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first (`make test-slow` keeps this order); a test that needs a Prefect server is slow.

    The tests of flows and tasks are not slow because of that: they are the whole job. So `make test` seldom starts more
    than one server.
    """
    tests = Path(__file__).parent
    whole = (tests / "flows", tests / "tasks")
    rank = {tests / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))
    for item in items:
        if "prefect" in getattr(item, "fixturenames", ()) and not any(map(item.path.is_relative_to, whole)):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of garbage collection: a million objects that stay until the end."""
    gc.freeze()


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Fail a test that leaves a thread of this project behind, which would go on in the stores of later tests."""
    before = set(threading.enumerate())
    yield
    ours = {thread for thread in set(threading.enumerate()) - before if _is_ours(thread)}
    for thread in ours:
        thread.join(10)
    assert not [thread.name for thread in ours if thread.is_alive()]


def _is_ours(thread: threading.Thread) -> bool:
    return str(getattr(getattr(thread, "_target", None), "__module__", "")).startswith("heart_disease")


@pytest.fixture(scope="session", autouse=True)
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary folder for every store, so that no test touches the user's stores."""
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("PREFECT_HOME", str(folder / "prefect"))
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    """Prefect's own test harness: a temporary database and server."""
    from prefect.testing import utilities

    from tests.harness.models.stores import empty_prefect_database

    folder = tempfile.mkdtemp()
    empty_prefect_database(Path(folder) / "prefect-test.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: folder)
        with utilities.prefect_test_harness(server_startup_timeout=120):
            yield
