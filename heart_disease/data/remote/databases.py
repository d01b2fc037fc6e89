"""Tables and queries of databases: one read-only transaction, written to a Parquet file as the rows come.

PostgreSQL by ADBC's driver, which streams Arrow from one COPY; others by SQLAlchemy and the driver that the address
names, each cell as text, as it would stand in a CSV file. SQLAlchemy's drivers have no limit of time in common, so they
work in a thread of their own (aside.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from heart_disease.data.remote import aside
from heart_disease.data.remote.addresses import Address, Filled
from heart_disease.data.remote.aside import LateError
from heart_disease.data.remote.patience import MOST_BYTES, Patience, TransientError
from heart_disease.data.remote.web import too_long
from heart_disease.model import schema
from heart_disease.model.errors import SourceError, UnavailableError

POSTGRES = ("postgresql", "postgres")
ROWS = 1 << 16  # rows that are read at once
# SQL states of PostgreSQL whose cause may pass: a lost connection, a server that starts or stops, or is full, or a
# standby that had to give way. https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING = ("08", "57P0", "53", "40")
# What a driver says, in lower case, if it gives no such code.
SIGNS = (
    "connection refused", "connection reset", "timeout expired", "timed out", "server closed the connection",
    "could not receive data", "could not send data", "starting up", "shutting down", "terminating connection",
    "too many clients", "too many connections", "temporary failure", "broken pipe", "no route to host",
    "is unreachable", "lost connection", "can't connect to", "database is locked",
)  # fmt: skip


def read(address: Address, secret: Filled, folder: Path, patience: Patience) -> list[Path]:
    """Write the rows to a Parquet file in `folder`.

    Raises:
        SourceError: the login, the table or the query is wrong, or there is too much.
        TransientError: the server does not answer, or breaks off.
        UnavailableError: a driver is not installed.
    """
    import pyarrow.parquet as pq

    path, size = folder / "0.parquet", 0
    with _failures(address, secret), _batches(address, secret, patience) as (names, batches):
        _check(names, address)
        writer = None
        try:
            for batch in batches:
                size += batch.nbytes
                if size > MOST_BYTES:
                    raise too_long(address)
                writer = writer or pq.ParquetWriter(path, batch.schema)
                writer.write_batch(batch)
        finally:
            if writer:
                writer.close()
    return [path]


def state(address: Address, secret: Filled, patience: Patience) -> str:
    """What changes with the rows, whatever their order: PostgreSQL counts and digests them; from others they are read.

    Raises:
        SourceError, TransientError, UnavailableError: as `read`.
    """
    if address.scheme in POSTGRES:
        digest = f"SELECT count(*)::text, sum(hashtextextended(rows::text, 0))::text FROM ({address.select}) rows"  # noqa: S608
        with _failures(address, secret), _postgres(secret, patience) as cursor:
            cursor.execute(digest)
            return " ".join(map(str, cursor.fetchone()))
    total, rows = 0, 0
    with _failures(address, secret), _batches(address, secret, patience) as (_, batches):
        for batch in batches:
            rows += batch.num_rows
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                total += int.from_bytes(hashlib.sha256(repr(row).encode()).digest()[:16])
    return f"{rows} {total:x}"


@contextmanager
def _batches(address: Address, secret: Filled, patience: Patience) -> Iterator[tuple[list[str], Iterator[Any]]]:
    """The names of the columns, and record batches; at least one, which may have no rows."""
    if address.scheme in POSTGRES:
        import pyarrow as pa

        with _postgres(secret, patience) as cursor:
            cursor.execute(address.select)
            with cursor.fetch_record_batch() as reader:
                empty = pa.RecordBatch.from_pylist([], reader.schema)
                yield list(reader.schema.names), (_plain(batch) for batch in _at_least(empty, reader))
        return
    with closing(aside.items(lambda: _sqlalchemy(address, secret), patience.silence, patience.total)) as found:
        names = next(found)
        yield names, (_as_text(names, rows) for rows in _at_least([], found))


def _at_least(first: Any, batches: Iterator[Any]) -> Iterator[Any]:
    yield first  # a table without rows has columns too
    yield from batches


@contextmanager
def _postgres(secret: Filled, patience: Patience) -> Iterator[Any]:
    """A cursor in one read-only transaction, in which all rows are as they were at its first query."""
    from adbc_driver_postgresql import dbapi

    sign = "&" if "?" in secret.location else "?"
    silence = max(1, round(patience.silence))
    # The server may compute for long before the first row; what may not be silent is the network below.
    limits = f"connect_timeout={silence}&tcp_user_timeout={silence * 1000}"
    limits += f"&keepalives_idle={silence}&keepalives_interval={silence}&keepalives_count=1"
    with closing(dbapi.connect(f"{secret.location}{sign}{limits}")) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute(f"SET LOCAL statement_timeout = {round(patience.total * 1000)}")
        yield cursor
        connection.rollback()


def _sqlalchemy(address: Address, secret: Filled) -> Generator[Any]:
    """Once there is a connection, what stops its query; then the names of the columns; then rows, many at once."""
    import sqlalchemy

    url = sqlalchemy.make_url(secret.location)
    if url.get_backend_name() == "sqlite" and not url.query and not Path(url.database or "").is_file():
        # SQLite would make one.
        raise SourceError(f"no file '{address.text}'; expected a database. Check the path.")
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, hide_parameters=True)
    try:
        with engine.connect() as connection:  # it ends by taking back whatever the query did
            driver = connection.connection.driver_connection
            yield lambda: _stop(driver)
            streamed = connection.execution_options(stream_results=True, max_row_buffer=ROWS)
            result = streamed.exec_driver_sql(address.select)
            yield list(result.keys())
            yield from result.partitions(ROWS)
    finally:
        engine.dispose()


def _stop(driver: Any) -> None:
    """End a query that still runs, if the driver can: those of SQLite, psycopg2 and Oracle."""
    for name in ("interrupt", "cancel"):
        if stop := getattr(driver, name, None):
            stop()


def _check(names: list[str], address: Address) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(
            f"'{address.text}' has the column '{twice[0]}' {names.count(twice[0])} times; expected each once. Name "
            "them apart with AS."
        )


def _plain(batch: Any) -> Any:
    """The batch without ADBC's own types: NUMERIC, which comes as text, is a number in a column of patients."""
    import pyarrow as pa

    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if isinstance(column.type, pa.BaseExtensionType):
            is_number = getattr(column.type, "type_name", "") == "numeric"
            column = column.storage
            if is_number and name in schema.BY_NAME:
                column = column.cast(pa.float64())
            elif pa.types.is_binary(column.type):  # an enumeration's words
                column = column.cast(pa.string())
        columns[name] = column
    return pa.RecordBatch.from_pydict(columns)


def _as_text(names: list[str], rows: Any) -> Any:
    import pyarrow as pa

    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return pa.RecordBatch.from_pydict(
        {name: pa.array(map(_cell, column), pa.string()) for name, column in zip(names, columns, strict=True)}
    )


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)


@contextmanager
def _failures(address: Address, secret: Filled) -> Iterator[None]:
    try:
        yield
    except (SourceError, UnavailableError, TransientError):
        raise
    except Exception as error:  # each driver has its own
        raise _in_words(error, address, secret.hide) from None  # its message may hold the password


def _in_words(error: Exception, address: Address, hidden: Callable[[str], str]) -> Exception:
    if isinstance(error, LateError) and error.silent:
        return TransientError(f"no answer within {error.seconds:g} s")
    if isinstance(error, ImportError):
        return UnavailableError(
            f"'{address.text}' needs the package {error.name}, which is not installed; see docs/sources.md."
        )
    text = hidden(" ".join(str(error).split("[SQL:")[0].split())).rstrip(". ") or type(error).__name__
    state, said = getattr(error, "sqlstate", None) or "", text.lower()
    if isinstance(error, LateError) or "statement timeout" in said:
        return UnavailableError(
            f"'{address.text}' was not read: the database was not done in time. Read fewer rows, or a view that is "
            "quicker."
        )
    if state.startswith(PASSING) or any(sign in said for sign in SIGNS):
        return TransientError(text)
    return SourceError(
        f"'{address.text}' cannot be read: {text}. Expected a login that may read it, and a table or query of that "
        "database."
    )
