"""Several documents of one submission stored side by side.

A store's answer to a small document is mostly waiting (a commit on its disk, a round trip), so ten in a row wait ten
times. The documents of a message can only be read one after the other; small ones are read into memory and stored by
other threads while the next is read.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING, Any, TypeVar

from repository.storage.contract import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable

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
        """Start the work in an idle thread, or do it now; what it raises is for who asks for the result."""
        if self._idle.acquire(blocking=False):
            future = self._pool.submit(work)
            future.add_done_callback(lambda _: self._idle.release())
            return future
        try:
            return _done(work())
        except Exception as error:  # noqa: BLE001 - as in the other thread
            return _failed(error)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown()


def put_soon(
    store: ObjectStore, source: Readable, spare: SpareThreads, *, more: bool, limit: int | None = None
) -> Future[StoredObject]:
    """Read a document to its end and store it: now, or if it is small by another thread while the next is read.

    Args:
        store: where to.
        source: the document.
        spare: what a small document is stored by; one for the process.
        more: whether another document is to come; a lone one costs no change of threads.
        limit: bytes a document may have.

    Returns:
        What `ObjectStore.put` answers or raises.

    Raises:
        Exception: what the source raises, and what `ObjectStore.put` raises at once; nothing stays in the store then.
    """
    if more:
        source = _read_ahead(source)
        if source.complete:
            return spare.submit(partial(store.put, source, limit=limit))
    return _done(store.put(source, limit=limit))


def _done(result: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(result)
    return future


def _failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


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
