"""The object store in a directory: one file per document, two levels (`ab/<22 digits>`), for one or many machines.

A document is written where it will stay, not renamed there: its key is fresh and nobody knows it before `put` returns
(see `contract`), so a temporary name would hide nothing and costs a second commit of the file system's journal.
Order of a put: create exclusively, write, sync the file, sync its folder, and the root if the folder is new to us.
"""

from __future__ import annotations

# A put is a handful of system calls; making Path objects would cost more than they do.
# ruff: noqa: PTH102, PTH108, PTH112, PTH116, PTH120
import errno
import os
import shutil
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from repository.storage.contract import (
    CHUNK,
    Meter,
    ObjectInfo,
    ObjectMissing,
    ObjectReader,
    Readable,
    StoredObject,
    StoreError,
    StoreFull,
    StoreUnavailable,
    checked,
    is_key,
    new_key,
    probe,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DirectoryStore:
    """An ObjectStore below one directory, which may be shared between machines (NFS with close-to-open consistency)."""

    def __init__(self, root: Path, *, create: bool = True) -> None:
        """Open the store.

        Args:
            root: directory of the store; files in it are readable by this user alone.
            create: make the directory, durably, when it is not there.
        """
        self._root = str(root.absolute())
        self._settled: set[str] = set()  # folders whose own name we know to be on disk
        with _translated(f"open the document store {self._root}"):
            if create:
                _make(Path(self._root))
            elif not os.path.isdir(self._root):
                raise self._unmounted()

    def __repr__(self) -> str:
        return f"DirectoryStore({self._root!r})"

    def put(self, stream: Readable, *, limit: int | None = None) -> StoredObject:
        """See `ObjectStore.put`."""
        key, meter = new_key(), Meter(stream, limit)
        path = self._path(key)
        with _translated(f"create {path}", self._unmounted):
            fd = self._create(path)
        try:
            self._fill(fd, meter, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)
            raise
        return meter.stored(key)

    def open(self, key: str) -> ObjectReader:
        """See `ObjectStore.open`."""
        path = self._path(key)
        with _translated(f"open {path}", lambda: self._absent(key)):
            return _FileReader(os.open(path, os.O_RDONLY), path)

    def stat(self, key: str) -> ObjectInfo:
        """See `ObjectStore.stat`."""
        path = self._path(key)
        with _translated(f"look at {path}", lambda: self._absent(key)):
            return _info(key, os.stat(path))

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`; not synced: a name that comes back with a crash is an orphan again."""
        path = self._path(key)
        with suppress(ObjectMissing), _translated(f"remove {path}", lambda: self._absent(key)):
            os.unlink(path)

    def list(self) -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`; what has no name of ours (lost+found, .nfs files) is passed over."""
        with _translated(f"list {self._root}", self._unmounted):
            folders = sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir())
        for folder in folders:
            with _translated(f"list {self._root}/{folder}"):
                found = list(self._list_folder(folder))
            yield from found

    def sweep(self, before: datetime) -> int:  # noqa: ARG002 - the contract's
        """See `ObjectStore.sweep`; here `list` shows everything."""
        return 0

    def check(self) -> str:
        """See `ObjectStore.check`."""
        probe(self)
        with _translated(f"look at {self._root}"):
            free = shutil.disk_usage(self._root).free
        return f"directory {self._root}, {free / 1e9:.1f} GB free"

    def close(self) -> None:
        """See `ObjectStore.close`; nothing is held open."""

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked(key)}"

    def _create(self, path: str) -> int:
        """Create the file, and its folder (one of 1024) if this is the first document there."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            folder = os.path.dirname(path)
            self._settled.discard(folder)
            with suppress(FileExistsError):  # another writer was first
                os.mkdir(folder, 0o700)
            return os.open(path, flags, 0o600)

    def _fill(self, fd: int, source: Readable, path: str) -> None:
        """Copy the source into the file, and make content and name durable."""
        try:
            while data := source.read(CHUNK):
                with _translated(f"write {path}"):
                    _write(fd, data)
            with _translated(f"sync {path}"):
                os.fsync(fd)
        finally:
            with suppress(OSError):  # the sync has said whether the bytes are safe
                os.close(fd)
        with _translated(f"sync the folder of {path}"):
            self._settle(os.path.dirname(path))

    def _settle(self, folder: str) -> None:
        """Sync a folder; and the root once per folder, for who made the folder may not have come to that yet."""
        _sync(folder)
        if folder not in self._settled:
            _sync(self._root)
            self._settled.add(folder)

    def _list_folder(self, folder: str) -> Iterator[ObjectInfo]:
        for entry in os.scandir(f"{self._root}/{folder}"):
            key = f"{folder}/{entry.name}"
            if is_key(key):
                with suppress(FileNotFoundError):  # removed meanwhile
                    yield _info(key, entry.stat())

    def _absent(self, key: str) -> StoreError:
        """Tell a missing object from a missing store, such as a volume that is not mounted."""
        return ObjectMissing(key) if os.path.isdir(self._root) else self._unmounted()

    def _unmounted(self) -> StoreUnavailable:
        return StoreUnavailable(f"the directory of the document store is not there: {self._root}")


class _FileReader:
    """ObjectReader on a file."""

    def __init__(self, fd: int, path: str) -> None:
        self._file = open(fd, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._path = path
        self.size = os.fstat(fd).st_size

    def read(self, n: int = -1, /) -> bytes:
        with _translated(f"read {self._path}"):
            return self._file.read(n)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _translated(doing: str, absent: Callable[[], StoreError] | None = None) -> Iterator[None]:
    """Turn an OSError into the store's words; `absent` says what a missing file means here."""
    try:
        yield
    except OSError as error:
        if absent and isinstance(error, FileNotFoundError):
            raise absent() from error
        detail = f"cannot {doing}: {error.strerror or error}"
        raise (StoreFull(detail) if error.errno in _FULL else StoreUnavailable(detail)) from error


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _write(fd: int, data: bytes) -> None:
    """Write all of it: near the end of a disk a write may be short before the next one fails."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make(root: Path) -> None:
    """Make a directory and those above it, each one's name synced."""
    if root.is_dir():
        return
    _make(root.parent)
    with suppress(FileExistsError):
        root.mkdir(mode=0o700)
    _sync(str(root.parent))
