"""The Document Repository's object store: a directory by default, an S3 bucket by URL (see `contract`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from repository.storage.contract import (
    FOLDERS,
    ObjectInfo,
    ObjectMissing,
    ObjectReader,
    ObjectStore,
    Readable,
    StoredObject,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TooLarge,
)
from repository.storage.directory import DirectoryStore
from repository.storage.s3url import describe, is_s3, parse
from repository.storage.together import SpareThreads, put_soon

if TYPE_CHECKING:
    from repository.storage.s3 import S3Store

__all__ = [
    "FOLDERS",
    "ObjectInfo",
    "ObjectMissing",
    "ObjectReader",
    "ObjectStore",
    "Readable",
    "SpareThreads",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StoredObject",
    "TooLarge",
    "describe",
    "open_store",
    "put_soon",
]


def open_store(url: str, *, create: bool = True, connections: int = 32) -> ObjectStore:
    """Open the store that a URL means; after a fork, not before: processes cannot share its connections.

    Args:
        url: `file:///path`, a plain path, or `s3+http://...` as in `s3url`.
        create: make the directory or bucket when it is not there.
        connections: to S3, kept alive at most.

    Raises:
        ValueError: the URL or the credentials cannot be used; says what is expected, without the secret.
        StoreUnavailable: the directory cannot be made. An S3 server is first asked when the store is used.
    """
    if is_s3(url):
        return _open_s3(url, create, connections)
    return DirectoryStore(_path(url), create=create)


def _open_s3(url: str, create: bool, connections: int) -> S3Store:
    address = parse(url)
    from repository.storage.s3 import S3Store  # noqa: PLC0415 - the client takes its time to load; a directory needs none

    try:
        return S3Store(address, create=create, connections=connections)
    except (ValueError, OSError) as error:  # a bucket's name, a file of authorities
        raise ValueError(f"{describe(url)}: {error}") from error


def _path(url: str) -> Path:
    if "://" not in url:
        return Path(url)
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path:
        raise ValueError(f"{describe(url)}: expected file:///path, a path, or s3+http://KEY:SECRET@host:port/bucket")
    return Path(unquote(parts.path))
