"""Addresses of patients elsewhere: which ones there are, what they are called, and where their passwords come from.

An address never holds a password: it is a parameter of flows, a tag of runs, and part of messages. It names one
instead, ``postgresql://reader:${HEART_SOURCE_PASSWORD}@db/clinic#table=patients``, which is put in at the last moment.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, quote, unquote, urlsplit

from heart_disease.data.formats import sheets
from heart_disease.model.errors import UnavailableError, UsageError, hide
from heart_disease.model.words import reason

WEB = ("http", "https")
STORES = ("s3", "gs", "az")
REMOTE = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
# ${HEART_SOURCE_X}, a variable of the environment, or ${prefect.NAME}, a Secret block of Prefect. No other variable can
# be named: who may start a flow with a source must not be able to send MLflow's password to a server of theirs.
SECRET = re.compile(r"\$\{(?:prefect\.([a-z0-9-]+)|(HEART_SOURCE_[A-Z0-9_]+))\}")
SELECTION = re.compile("#(?=(?:table|query)=)")
WORKBOOK = re.compile(rf"(?:{'|'.join(map(re.escape, sheets.SUFFIXES))})(?=#|$)", re.IGNORECASE)
LONGEST = 4000  # characters; MLflow's tags take no more than twice that
# A table's name or a query keeps these signs; % + & and line breaks are encoded.
AS_IT_IS = " !\"$'()*,-./:;<=>?@[\\]^_`{|}~#"
TABLE = re.compile(r'(?:[^\W\d]\w*|"[^"]+")(?:\.(?:[^\W\d]\w*|"[^"]+")){0,2}')
ADVICE = "Write its name instead, such as ${HEART_SOURCE_PASSWORD}, and set that variable."


@dataclass(frozen=True)
class Address:
    """Where patients are.

    text: as it was written; what messages, logs and tags show. location: the same without the table or query.
    table: of a database, as SQL names it; or the sheet of a workbook. query: an SQL query. At most one of them.
    """

    text: str
    location: str
    table: str = ""
    query: str = ""

    @property
    def scheme(self) -> str:
        """What stands before ``://``, in lower case."""
        return urlsplit(self.location).scheme

    @property
    def select(self) -> str:
        """The query that reads its rows."""
        return self.query or f"SELECT * FROM {self.table}"  # noqa: S608  `parse` has seen that it is a name


@dataclass(frozen=True)
class Filled:
    """An address with its passwords; it stays in memory. secrets: what must not be shown."""

    location: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def hide(self, text: str) -> str:
        """The text without the passwords, also where they are written as in an address."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            for form in (secret, quote(secret, safe=""), quote(secret)):
                text = text.replace(form, "***")
        return hide(text)


def is_remote(source: str | Path | None) -> bool:
    """Whether it is an address, and not a path."""
    return isinstance(source, str) and bool(REMOTE.match(source))


def parse(source: str) -> Address:
    """An address that can be used.

    Raises:
        UsageError: it holds a password, is too long or of an unknown kind, names no table, or one where there is none.
    """
    if len(source) > LONGEST:
        raise UsageError(
            f"the address has {len(source):,} characters; expected at most {LONGEST:,}. Make the query a view, and "
            "name it as the table."
        )
    location, selection = (*SELECTION.split(source, maxsplit=1), "")[:2]
    given = {name: values[-1] for name, values in parse_qs(selection).items()}
    try:
        parts = urlsplit(location)
    except ValueError as error:
        raise UsageError(f"'{source}' is no address: {error}") from error
    if hide(location) != location:
        raise UsageError(f"'{source}' holds a password or a token, which would be recorded with each run. {ADVICE}")
    if "${" in SECRET.sub("", location):
        raise UsageError(
            f"'{source}': expected ${{HEART_SOURCE_...}}, a variable of the environment with that beginning, or "
            "${prefect.NAME}, a Secret block of Prefect."
        )
    if parts.scheme == "file":
        raise UsageError(f"'{source}': expected the path alone, without file://")
    is_database = parts.scheme not in (*WEB, *STORES)
    if not is_database and not (parts.netloc and (parts.path.strip("/") or parts.scheme in WEB)):
        raise UsageError(f"'{source}' names no file; expected one behind the name of the host or bucket.")
    address = Address(source, location, given.get("table", ""), given.get("query", "").strip().rstrip(";"))
    _check_selection(address, is_database)
    return address


def with_selection(source: str | None, table: str | None, query: str | None) -> str:
    """The address of a table, or of a query's rows, in a database; or of a sheet in a workbook.

    Raises:
        UsageError: there is neither, or it already says what to read, or both are given.
    """
    option, value = ("table", table) if query is None else ("query", query)
    if table is not None and query is not None:
        raise UsageError("expected --table or --query, not both")
    known = source is not None and (is_remote(source) or (option == "table" and WORKBOOK.search(source)))
    if source is None or not known or SELECTION.search(source):
        which = f"with the source '{source}'" if source else "without a source"
        raise UsageError(
            f"--{option} {which}: expected the address of a database, such as "
            "postgresql://reader@db/clinic" + ", or a workbook, such as ward.xlsx" * (option == "table")
        )
    return f"{source}#{option}={quote(value or '', safe=AS_IT_IS)}"


def sheet_of(source: str | Path) -> tuple[str | Path, str]:
    """A path or an address without the sheet that it names, and that sheet; empty if it names none."""
    place, *selection = SELECTION.split(str(source), maxsplit=1)
    scheme = urlsplit(place).scheme if is_remote(source) else ""
    if not selection or not (WORKBOOK.search(place) if not scheme else scheme in (*WEB, *STORES)):
        return source, ""
    return place, parse_qs(selection[0]).get("table", [""])[-1]


def absolute(source: str | Path) -> str:
    """A path from the root, for another process; an address as it is.

    Raises:
        UsageError: it is no address that can be used.
    """
    return parse(str(source)).text if is_remote(source) else str(Path(source).absolute())


def name(source: str | Path) -> str:
    """What a source is called in a list: the name of the file, table or sheet; what is no address, as it is."""
    if not is_remote(source):
        place, sheet = sheet_of(source)
        return sheet or Path(place).name
    text = str(source)
    try:
        parts = urlsplit(text)
    except ValueError:  # a run has a name before `parse` refuses it
        return hide(text)
    if found := SELECTION.split(text, maxsplit=1)[1:]:
        kind, _, value = found[0].partition("=")
        return unquote(value) if kind == "table" else f"query of {PurePosixPath(parts.path).name}"
    return PurePosixPath(unquote(parts.path)).name or parts.netloc.rpartition("@")[2]


def title(source: str | Path) -> str:
    """Do as `name`, without the suffix of a file."""
    found = name(source)
    return found if SELECTION.search(str(source)) else Path(found).stem


def suffix(path: str) -> str:
    """The end of a file's name that says its kind, such as ``.csv.gz``, in lower case; empty if there is none.

    Of ``part.0.parquet`` and ``2026.01.csv`` it is ``.parquet`` and ``.csv``.
    """
    return re.search(r"((?:\.[a-z0-9]{1,8})?(?:\.(?:gz|zip))?)$", path.lower())[1]  # type: ignore[index]


def filled(address: Address) -> Filled:
    """The address with its passwords.

    Raises:
        UnavailableError: the variable is not set, or Prefect has no such block.
    """
    secrets: list[str] = []

    def value(found: re.Match[str]) -> str:
        secrets.append(_secret(found, address))
        # In front of the @ a slash in a password would end the host; behind it, a variable may hold several parameters.
        return quote(secrets[-1], safe="") if found.end() <= login else secrets[-1]

    end = re.search(r"://[^/?#]*", address.location)
    login = end.end() if end else 0
    location = SECRET.sub(value, address.location)
    return Filled(location, tuple(filter(None, secrets)))


def _check_selection(address: Address, is_database: bool) -> None:
    if not is_database:
        if address.query:
            raise UsageError(f"'{address.text}': only a database has a query")
        return
    if bool(address.table) == bool(address.query):
        raise UsageError(
            f"'{address.text}': expected what to read from the database: --table patients, or --query 'SELECT ...'; "
            "if there is no such option, #table=patients at the end of the address. If it is no database: known are "
            f"{', '.join(f'{scheme}://' for scheme in (*WEB, *STORES))}."
        )
    if address.table and not TABLE.fullmatch(address.table):
        raise UsageError(
            f"table '{address.table}': expected a name such as patients or clinic.patients, in double quotes if it is "
            "no plain word"
        )
    if address.query and not re.match(r"(select|with|values|table)\b", address.query, re.IGNORECASE):
        raise UsageError(f"query '{address.query}': expected one that reads: SELECT ... or WITH ...")


def _secret(found: re.Match[str], address: Address) -> str:
    block, variable = found.groups()
    if variable:
        if variable not in os.environ:
            raise UnavailableError(f"'{address.text}' needs the environment variable {variable}, which is not set.")
        return os.environ[variable]
    from prefect.blocks.system import Secret

    try:
        return str(Secret.load(block).get())  # type: ignore[union-attr]
    except ValueError as error:
        raise UnavailableError(
            f"'{address.text}' needs the block '{block}', and Prefect has no Secret of that name. Make it in Prefect's "
            "page, under Blocks."
        ) from error
    except Exception as error:  # Prefect's or its client's own
        raise UnavailableError(
            f"'{address.text}' needs the block '{block}', and Prefect cannot be asked for it: {reason(error)}."
        ) from error
