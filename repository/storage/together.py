"""Several documents of one submission stored side by side.

A store's answer to a small document is mostly waiting (a commit on its disk, a round trip), so ten in a row wait ten
times. The documents of a message can only be read one after the other; small ones are read into memory and stored by
other threads while the next is read.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING, TypeVar

from repository.storage.contract import CHUNK, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from repository.storage.contract import ObjectStore, Readable, StoredObject

T = TypeVar("T")

SMALL = 1024 * 1024
"""Bytes up to which a document is read ahead."""


class SpareThreads:
    """A few threads that take work only when one of them is idle, so that nothing queues and memory has its bound.

    When all are busy the caller does the work itself: with many callers there is nothing to win by handing it on.
    """

    def __init__(self, threads: int = 4) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store-document")
        self._idle = Semaphore(threads)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Start the work in an idle thread, or do it now."""
        if not self._idle.acquire(blocking=False):
            return _done(work())
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self._idle.release())
        return future

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown()


def put_all(
    store: ObjectStore, sources: Iterable[Readable], spare: SpareThreads, *, limit: int | None = None
) -> tuple[StoredObject, ...]:
    """Store documents, all or none; returns them in the order of their sources.

    Args:
        store: where to.
        sources: taken one by one, each read to its end before the next is asked for.
        spare: what small documents are stored by; one for the process.
        limit: bytes a document may have.

    Raises:
        Exception: what `ObjectStore.put` or a source raises; nothing of the call stays in the store then.
    """
    stored: list[Future[StoredObject]] = []
    held: _Joined | None = None  # the last one goes by this thread: a lone document costs no change of threads
    try:
        for source in sources:
            if held:
                stored.append(spare.submit(partial(store.put, held, limit=limit)))
            document = _read_ahead(source)
            held = document if document.complete else None
            if not held:
                stored.append(_done(store.put(document, limit=limit)))
        if held:
            stored.append(_done(store.put(held, limit=limit)))
        return tuple(future.result() for future in stored)
    except BaseException:
        _undo(store, stored)
        raise


class _Joined:
    """A source of which the beginning was read; `complete` if that is all of it."""

    def __init__(self, head: bytes, rest: Readable | None) -> None:
        self._head = memoryview(head)
        self._rest = rest
        self.complete = rest is None

    def read(self, n: int, /) -> bytes:
        head, self._head = bytes(self._head[:n]), self._head[n:]
        return head or (self._rest.read(n) if self._rest else b"")


def _read_ahead(source: Readable) -> _Joined:
    head = bytearray()
    while len(head) <= SMALL:
        data = source.read(CHUNK)
        if not data:
            return _Joined(bytes(head), None)
        head += data
    return _Joined(bytes(head), source)


def _done(result: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(result)
    return future


def _undo(store: ObjectStore, stored: Iterable[Future[StoredObject]]) -> None:
    """Wait for what is under way and remove what was stored; what cannot be removed is left to `xds gc`."""
    for future in stored:
        if not future.exception():
            with suppress(StoreError):
                store.delete(future.result().key)
