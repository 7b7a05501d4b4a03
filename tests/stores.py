"""An object store in memory with the contract of `repository.storage`, and ways to make it fail."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from repository.storage import ObjectInfo, ObjectMissing, Readable, StoredObject, StoreFull, StoreUnavailable
from repository.storage.contract import CHUNK, Meter, checked, new_key, probe

if TYPE_CHECKING:
    from collections.abc import Iterator


class Source:
    """A document of `size` bytes made as it is read; raises `failure` when `fail_at` bytes were given out."""

    BLOCK = bytes(range(256)) * 1024

    def __init__(self, size: int, *, fail_at: int | None = None, failure: Exception | None = None) -> None:
        self.left = size
        self.given = 0
        self._fail_at = fail_at
        self._failure = failure or ConnectionResetError("the sender went away")

    def read(self, n: int, /) -> bytes:
        if self._fail_at is not None and self.given >= self._fail_at:
            raise self._failure
        data = self.BLOCK[: min(n, self.left)]
        self.left -= len(data)
        self.given += len(data)
        return data


class MemoryReader(io.BytesIO):
    """ObjectReader on bytes."""

    @property
    def size(self) -> int:
        return len(self.getbuffer())


@dataclass
class MemoryStore:
    """ObjectStore in memory.

    Attributes:
        objects: key -> bytes and time of writing; a test may look and meddle.
        down: every call raises StoreUnavailable.
        full: every `put` raises StoreFull, after it has read something.
        room: bytes after which the store is full; None for no bound.
        calls: names of the methods called, in order.
    """

    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    down: bool = False
    full: bool = False
    room: int | None = None
    calls: list[str] = field(default_factory=list)

    def put(self, stream: Readable, *, limit: int | None = None) -> StoredObject:
        self._called("put")
        key, meter, data = new_key(), Meter(stream, limit), bytearray()
        while chunk := meter.read(CHUNK):
            data += chunk
            self._check_room(len(data))
        self._check_room(len(data))
        self.objects[key] = bytes(data), datetime.now(UTC)
        return meter.stored(key)

    def open(self, key: str) -> MemoryReader:
        self._called("open")
        return MemoryReader(self._find(key)[0])

    def stat(self, key: str) -> ObjectInfo:
        self._called("stat")
        data, modified = self._find(key)
        return ObjectInfo(key, len(data), modified)

    def delete(self, key: str) -> None:
        self._called("delete")
        self.objects.pop(checked(key), None)

    def list(self) -> Iterator[ObjectInfo]:
        self._called("list")
        for key, (data, modified) in tuple(self.objects.items()):
            yield ObjectInfo(key, len(data), modified)

    def sweep(self, before: datetime) -> int:
        self._called("sweep")
        return 0

    def check(self) -> str:
        probe(self)
        return "memory"

    def close(self) -> None:
        self.calls.append("close")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise StoreUnavailable("the test switched the store off")

    def _find(self, key: str) -> tuple[bytes, datetime]:
        try:
            return self.objects[checked(key)]
        except KeyError:
            raise ObjectMissing(key) from None

    def _check_room(self, coming: int) -> None:
        used = sum(len(data) for data, _ in tuple(self.objects.values()))
        if self.full or (self.room is not None and used + coming > self.room):
            raise StoreFull("the test filled the store")
