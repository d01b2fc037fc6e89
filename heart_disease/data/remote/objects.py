"""Objects in S3, Google's and Azure's stores, by the drivers that come with pyarrow, which is installed anyway.

The drivers find credentials where each store's own tools do: in the environment, in their files, from the machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from heart_disease.data.remote import aside
from heart_disease.data.remote.addresses import Address, suffix
from heart_disease.data.remote.aside import LateError
from heart_disease.data.remote.patience import MOST_BYTES, Patience, TransientError
from heart_disease.data.remote.web import too_long
from heart_disease.model.errors import SourceError, UnavailableError

# What a driver's message contains, in lower case: what trying again cannot help.
MISSING = ("no_such_key", "no_such_bucket", "not_found", "notfound", "status 404", "] 404", "does not exist")
DENIED = (
    "access_denied", "forbidden", "permission", "unauthenticated", "unauthorized", "status 401", "status 403", "] 401",
    "] 403", "invalid_access_key", "signature", "credential",
)  # fmt: skip
WILD = "*?["
PIECE = 1 << 16  # bytes; each must come before a silence is over


def read(address: Address, folder: Path, patience: Patience) -> list[Path]:
    """Fetch the object, or those of a folder or a pattern, into `folder`, numbered in the order of their names.

    Raises:
        SourceError: there is none, it may not be read, or they are too long.
        TransientError: the store does not answer.
        UnavailableError: it is not said which account of Azure it is.
    """
    return [one for one in _items(address, patience, lambda: _work(address, folder, patience)) if one]


def state(address: Address, patience: Patience) -> str:
    """What changes with the objects: name, length and date of each.

    Raises:
        SourceError, TransientError, UnavailableError: as `read`.
    """
    return "; ".join(_items(address, patience, lambda: _seen(address, patience)))


def _items(address: Address, patience: Patience, made: Callable[[], Generator[Any]]) -> Iterator[Any]:
    """What is made in a thread of its own: Google's and Azure's drivers wait for a silent store without end."""
    import pyarrow as pa

    try:
        yield from aside.items(made, patience.silence, patience.total, patience.silence)
    except LateError as error:
        if error.silent:
            raise TransientError(f"no answer within {patience.silence:g} s") from error
        raise UnavailableError(f"'{address.text}' was not read: it took more than {error.seconds:g} s.") from error
    except (OSError, ValueError, pa.ArrowException) as error:  # the drivers raise all three
        raise _in_words(error, address) from error


def _work(address: Address, folder: Path, patience: Patience) -> Generator[Any]:
    """What would stop it, which is nothing; then None for each piece that has come, and the path of each object."""
    yield _nothing
    store, found = _found(address, patience)
    if sum(one.size or 0 for one in found) > MOST_BYTES:
        raise too_long(address)
    for i, one in enumerate(found):
        path = folder / f"{i:05d}{suffix(one.path)}"
        with store.open_input_stream(one.path) as stream, path.open("wb") as file:
            while piece := stream.read(PIECE):
                file.write(piece)
                yield None
        yield path


def _seen(address: Address, patience: Patience) -> Generator[Any]:
    yield _nothing
    _, found = _found(address, patience)
    yield from [f"{one.path}, {one.size} bytes, {one.mtime_ns}" for one in found]


def _nothing() -> None:
    pass


def _found(address: Address, patience: Patience) -> tuple[Any, Sequence[Any]]:
    """The store, and the objects by name."""
    from pyarrow import fs

    parts = urlsplit(address.location)
    path = f"{parts.netloc}{unquote(parts.path)}".rstrip("/")
    folder, _, pattern = path.rpartition("/")
    store = _store(address, parts.netloc, patience)
    if any(sign in pattern for sign in WILD):
        every = store.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        found = [one for one in every if fnmatchcase(one.base_name, pattern)]
    else:
        [one] = store.get_file_info([path])
        found = [one] if one.type == fs.FileType.File else []
        if one.type == fs.FileType.Directory:
            found = [each for each in store.get_file_info(fs.FileSelector(path)) if each.base_name[0] not in "._"]
    found = sorted((one for one in found if one.type == fs.FileType.File), key=lambda one: one.path)
    if not found:
        raise SourceError(f"no file '{address.text}'; expected a file of patients in that store. Check the address.")
    if len({suffix(one.path) for one in found}) > 1:
        names = ", ".join(repr(one.base_name) for one in found[:5])
        raise SourceError(f"'{address.text}' has {names}; expected parts of one kind, such as all *.csv.")
    return store, found


def _store(address: Address, bucket: str, patience: Patience) -> Any:
    from pyarrow import fs

    if address.scheme == "gs":
        endpoint = os.environ.get("STORAGE_EMULATOR_HOST", "")
        where = {"endpoint_override": endpoint.rpartition("//")[2], "scheme": "http", "anonymous": True}
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=patience.silence), **(where if endpoint else {}))
    if address.scheme == "az":
        account = os.environ.get("AZURE_STORAGE_ACCOUNT") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        if not account:
            raise UnavailableError(f"'{address.text}' needs the name of its account, in AZURE_STORAGE_ACCOUNT.")
        key = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_ACCOUNT_KEY")
        token = None if key else os.environ.get("AZURE_STORAGE_SAS_TOKEN")  # it takes one of them
        return fs.AzureFileSystem(account, account_key=key, sas_token=token, **_azure_place(account))
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    settings: dict[str, Any] = {"connect_timeout": patience.silence, "request_timeout": patience.silence}
    settings["retry_strategy"] = fs.AwsStandardS3RetryStrategy(max_attempts=1)  # patience.py tries again
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        settings |= {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
    return fs.S3FileSystem(region=region or ("us-east-1" if endpoint else fs.resolve_s3_region(bucket)), **settings)


def _azure_place(account: str) -> dict[str, str]:
    """Where Azure's services are, if not in its public cloud: in another one, or at an emulator's address."""
    scheme, _, host = os.environ.get("AZURE_STORAGE_SERVICE_ENDPOINT", "").rstrip("/").rpartition("://")
    if not host:
        return {}
    host = host.removeprefix(account).removesuffix(f"/{account}")  # the driver puts it there
    found = {"blob_storage_authority": host, "dfs_storage_authority": host.replace(".blob.", ".dfs.")}
    return found | {"blob_storage_scheme": scheme or "https", "dfs_storage_scheme": scheme or "https"}


def _in_words(error: Exception, address: Address) -> Exception:
    text = " ".join(str(error).split()).rstrip(".")
    said = text.lower()
    if isinstance(error, FileNotFoundError) or any(sign in said for sign in MISSING):
        return SourceError(f"no file '{address.text}': {text}. Check the address.")
    if isinstance(error, PermissionError) or any(sign in said for sign in DENIED):
        return SourceError(
            f"'{address.text}' may not be read: {text}. Expected credentials where the store's own tools have them; "
            "see docs/sources.md."
        )
    return TransientError(text)
