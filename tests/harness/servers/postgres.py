"""A PostgreSQL server of this machine's own programs, empty, on loopback, that asks for a password."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
import pytest

from heart_disease.processes.loopback import free_port
from tests.harness.servers.compose import postgres_programs
from tests.harness.waiting import wait_for


@dataclass(frozen=True)
class Postgres:
    """The server. password: of the user postgres; it has signs that an address must escape."""

    port: int
    password: str

    def run(self, sql: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """Execute and commit; with `rows`, once for each."""
        with closing(self._connect()) as connection, connection, connection.cursor() as cursor:
            if rows is None:
                cursor.execute(sql)
            else:
                cursor.executemany(sql, rows)

    def keep(self, table: str, frame: pd.DataFrame) -> None:
        """Make a table of these patients, all of its columns NUMERIC."""
        columns, values = ", ".join(f"{name} NUMERIC" for name in frame), ", ".join("%s" for _ in frame)
        rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
        self.run(f"CREATE TABLE {table} ({columns})")
        self.run(f"INSERT INTO {table} VALUES ({values})", [tuple(row) for row in rows])  # noqa: S608

    def address(self, table: str, login: str = "postgres:${HEART_SOURCE_PASSWORD}") -> str:
        return f"postgresql://{login}@127.0.0.1:{self.port}/postgres#table={table}"

    def answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def _connect(self) -> Any:
        return psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", password=self.password)


@contextmanager
def server() -> Iterator[Postgres]:
    """A server, until the end of the block."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    user: dict[str, Any] = {"user": "postgres", "extra_groups": []} if os.getuid() == 0 else {}  # it refuses root
    folder = Path(tempfile.mkdtemp(prefix="heart-postgres-"))
    made = Postgres(free_port(), f"{secrets.token_hex(8)}@/:%&?#")
    try:
        (folder / "password").write_text(made.password)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        subprocess.run(
            [str(programs / "initdb"), "--username=postgres", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256",
             "--no-sync", "-D", str(folder / "data")],
            check=True, stdout=subprocess.DEVNULL, cwd=folder, **user,
        )  # fmt: skip
        command = [str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-h", "127.0.0.1"]
        with (folder / "log").open("wb") as log, subprocess.Popen(
            [*command, "-p", str(made.port), "-F"], stderr=log, cwd=folder, **user
        ) as process:  # fmt: skip
            try:
                wait_for(made.answers)
                yield made
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
