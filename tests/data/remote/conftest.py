"""An empty cache for each test, and one PostgreSQL for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.servers import postgres
from tests.harness.servers.postgres import Postgres


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "heart-disease" / "snapshots"


@pytest.fixture(scope="package")
def server() -> Iterator[Postgres]:
    with postgres.server() as made:
        yield made


@pytest.fixture
def database(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    monkeypatch.setenv("HEART_SOURCE_PASSWORD", server.password)
    return server
