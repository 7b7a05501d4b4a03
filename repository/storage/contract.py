"""What the repository asks of its object store, and what a store answers.

Bytes go under a *fresh* key that the store draws at random, never one derived from uniqueId; the repository's own
table decides which key a uniqueId means. So nobody knows a key before `put` returned it: two writers of one uniqueId
never touch each other's bytes, no reader meets half a document, and what a crash leaves behind is an orphan that no
row names (found by `ObjectStore.list`, reclaimed by `xds gc`).

    StoreError
    +-- ObjectMissing      there is no object under this key
    +-- StoreFull          no room, or a quota is reached
    +-- StoreUnavailable   the store is down, too slow, or refuses us
    +-- TooLarge           the document is larger than `put` was told to take

`str(error)` may be shown to a peer; `detail` is for the operator (a path, the store's own words; never a secret).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

CHUNK = 256 * 1024
"""Bytes per read of a source: large enough for hashlib and the kernel to work outside the interpreter lock."""

_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(r"[a-z2-7]{2}/[a-z2-7]{22}")

FOLDERS = [first + second for first in _DIGITS for second in _DIGITS]
"""What keys begin with, in the order of their octets."""


class StoreError(Exception):
    """The store could not do what it was asked."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail or message


class ObjectMissing(StoreError):  # noqa: N818 - says what is the case
    """No object under this key."""

    def __init__(self, key: str) -> None:
        super().__init__("the document store holds no such object", f"the document store holds no object {key}")
        self.key = key


class StoreFull(StoreError):  # noqa: N818
    """No room for the document (XDSRepositoryOutOfResources, ITI TF-3 Table 4.2.4.1-2)."""

    def __init__(self, detail: str) -> None:
        super().__init__("the document store is full", detail)


class StoreUnavailable(StoreError):  # noqa: N818
    """The store is down, too slow, or refuses us; the next request may work again."""

    def __init__(self, detail: str) -> None:
        super().__init__("the document store is not available", detail)


class TooLarge(StoreError):  # noqa: N818
    """The document exceeds the limit in bytes; raised while reading, as soon as that is known."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the document is larger than the limit of {limit} bytes")
        self.limit = limit


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A document that `put` made durable.

    Attributes:
        key: where it lies; 25 characters of ASCII, opaque, the same shape in every store.
        size: bytes (ITI TF-3 4.2.3.2.21).
        hash: SHA-1 as 40 lower-case hex digits (ITI TF-3 4.2.3.2.10).
    """

    key: str
    size: int
    hash: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What the store knows of one object: key, size in bytes, time of the last write (aware)."""

    key: str
    size: int
    modified: datetime


class Readable(Protocol):
    """A document on its way in: read once, length unknown, b"" at its end."""

    def read(self, n: int, /) -> bytes:
        """Return up to n bytes."""


class ObjectReader(Protocol):
    """An open document on its way out; to be closed, also by `with`."""

    @property
    def size(self) -> int:
        """Bytes in all, known before the first read."""

    def read(self, n: int = -1, /) -> bytes:
        """Return up to n bytes, all that is left without n, b"" at the end.

        Raises:
            StoreUnavailable: the store broke off; the document must not be taken as complete.
        """

    def close(self) -> None:
        """Give the connection or file back; twice does no harm."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class ObjectStore(Protocol):
    """A store of documents, safe to share between threads; every process opens its own.

    Every method raises StoreUnavailable, and ValueError for what cannot be a key of ours.
    """

    def put(self, stream: Readable, *, limit: int | None = None) -> StoredObject:
        """Read a document to its end and store it under a fresh key, hashing on the way, in constant memory.

        Returns:
            What was stored; it is durable (synced file and directory, or the store's acknowledgement).

        Raises:
            TooLarge: more than `limit` bytes.
            StoreFull: no room.
            Exception: whatever `stream.read` raises, unchanged. In each case nothing stays behind.
        """

    def open(self, key: str) -> ObjectReader:
        """Open a document for reading, or raise ObjectMissing."""

    def stat(self, key: str) -> ObjectInfo:
        """Describe an object, or raise ObjectMissing."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there counts as removed."""

    def list(self) -> Iterator[ObjectInfo]:
        """Yield every object, folder by folder in their order if that can be had, else in any order.

        Those of a running or killed `put` may be among them. A caller that looks for orphans leaves the young ones
        alone: their row may be on its way.
        """

    def sweep(self, before: datetime) -> int:
        """Free what `list` cannot show: uploads begun before a time and never ended. Returns how many."""

    def check(self) -> str:
        """Write, read and remove a small object; return one line that describes the store."""

    def close(self) -> None:
        """Let go of connections."""


class Meter:
    """A source that counts and hashes what is read through it, and stops at a limit.

    Attributes:
        size: bytes read so far.
    """

    def __init__(self, stream: Readable, limit: int | None = None) -> None:
        self.size = 0
        self._stream = stream
        self._limit = limit
        self._sha1 = hashlib.sha1(usedforsecurity=False)  # the standard's choice for the hash attribute

    def read(self, n: int, /) -> bytes:
        """Return up to n bytes; raises TooLarge, or what the source raises."""
        data = self._stream.read(n)
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            raise TooLarge(self._limit)
        self._sha1.update(data)
        return data

    def stored(self, key: str) -> StoredObject:
        """Describe what was read, now that it lies under `key`."""
        return StoredObject(key, self.size, self._sha1.hexdigest())


def new_key() -> str:
    """Draw a key nobody has used: 120 random bits in base 32, the first two digits (1024 folders) set apart by a slash.

    Lower case and slash only, so it is the same name on any file system and in any bucket.
    """
    digits = base64.b32encode(os.urandom(15)).decode().lower()
    return f"{digits[:2]}/{digits[2:]}"


def is_key(text: str) -> bool:
    """Whether this can be a key of ours; a path that leads elsewhere cannot."""
    return _KEY.fullmatch(text) is not None


def checked(key: str) -> str:
    """Return the key, or raise ValueError."""
    if not is_key(key):
        raise ValueError(f"not a key of the document store: {key!r}")
    return key


def probe(store: ObjectStore) -> None:
    """Write, read and remove a small object, for `check`."""
    text = b"written by xds check"
    stored = store.put(_Once(text))
    try:
        with store.open(stored.key) as reader:
            found = reader.read()
    finally:
        store.delete(stored.key)
    if found != text:
        raise StoreUnavailable(f"wrote {len(text)} bytes to the document store and read {len(found)} others back")


class _Once:
    """Bytes at hand as a source."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, n: int, /) -> bytes:
        head, self._data = self._data[:n], self._data[n:]
        return head
