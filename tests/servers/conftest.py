"""Servers that the tests of faults share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import faults
from tests.harness.compose import Stack, postgres_programs


@pytest.fixture(scope="module")
def fault_stack() -> Iterator[Stack]:
    """Servers with a champion, which the faults of a file share."""
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed")
    # Not in pytest's folder, because another pytest that starts meanwhile closes it to PostgreSQL's user.
    with tempfile.TemporaryDirectory() as folder, faults.servers(Path(folder, "stack")) as started:
        yield started
