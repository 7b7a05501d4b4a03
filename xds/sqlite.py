"""SQLite as both actors use it: a file that many threads and processes read, and one at a time writes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import monotonic
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeout

BUSY_MS = 30_000
"""A writer waits so long for the others."""
_LOOK_MS = 2


def prepare(connection: Any, _record: object) -> None:
    """Set up a new connection, for SQLAlchemy's event `connect`."""
    connection.isolation_level = None  # transactions are begun in words, see `database`
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def turn(url: str) -> Iterator[None]:
    """Let the writers of one process take turns on a file.

    They queue here in order; those of several processes meet in `begin_immediate`.

    Raises:
        PoolTimeout: those before did not end in time.
    """
    lock = _lock(url)
    if not lock.acquire(timeout=BUSY_MS / 1000):
        raise PoolTimeout("the writers before this one did not end in time")
    try:
        yield
    finally:
        lock.release()


@cache
def _lock(_url: str) -> threading.Lock:
    return threading.Lock()


def begin_immediate(connection: sqlite3.Connection) -> None:
    """Begin a transaction that writes: wait for the writers of other processes.

    SQLite would let us sleep ever longer between two looks, a tenth of a second in the end: the file would lie idle
    meanwhile.

    Raises:
        sqlite3.OperationalError: they did not end in time, or what else SQLite finds.
    """
    end = monotonic() + BUSY_MS / 1000
    connection.execute(f"PRAGMA busy_timeout={_LOOK_MS}")
    try:
        while _is_busy(connection) and monotonic() < end:
            pass
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")


def _is_busy(connection: sqlite3.Connection) -> bool:
    """Try to begin; tell whether another one is writing."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the rest of an extended code says why
    return False
