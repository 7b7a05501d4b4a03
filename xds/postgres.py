"""PostgreSQL as both actors use it: connections that do not wait for ever, and arrays as it takes them.

The server's own time limits are no help when the server is frozen, or its machine or network is gone: psycopg waits for
its answer without end, and one request after the other keeps a thread. Here each wait for an answer has an end, after
which the connection is closed; `xds.database` takes that for a lost one.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from struct import Struct
from time import monotonic
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import PoolProxiedConnection

PATIENCE_SECONDS = 65.0
"""For one answer; a little more than the server is given for a statement."""


class Connection(psycopg.Connection[Any]):
    """A connection whose every wait has an end.

    Attributes:
        patience: seconds for one answer; None for the default.
    """

    patience: float | None = None

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Run one of psycopg's generators, which yield while they wait for the server.

        Raises:
            OperationalError: no answer came in time.
        """
        return super().wait(self._limited(gen), *args, **options)

    def _limited(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        seconds = PATIENCE_SECONDS if self.patience is None else self.patience
        end = monotonic() + seconds
        ready: Any = None
        try:
            while True:
                ready = yield gen.send(ready)
                if not ready and monotonic() > end:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server gave no answer within {seconds:g} seconds")
        except StopIteration as done:
            return done.value


def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> Connection:
    """Connect, for SQLAlchemy's event `do_connect`."""
    return Connection.connect(*arguments, **options)


def is_lost(connection: Connection) -> bool:
    """Tell whether the server has closed an idle connection: there is nothing else to be read on one."""
    waiting = select.poll()
    waiting.register(connection.pgconn.socket, select.POLLIN)
    return bool(waiting.poll(0))


def refuse_lost(connection: Connection, _record: object, _proxy: object) -> None:
    """Let the pool open another connection in place of one that the server has closed meanwhile: it was restarted.

    For SQLAlchemy's event `checkout`. To learn that from a statement would leave open whether the statement was done.
    """
    if is_lost(connection):
        raise DisconnectionError("closed by the server")


class _BinaryCursor(psycopg.Cursor[Any]):
    """Results as PostgreSQL holds them: octets as text would be twice as many."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.format = psycopg.pq.Format.BINARY


def set_autocommit(connection: PoolProxiedConnection, *, on: bool) -> None:
    """Let each statement be a transaction by itself, its results binary; or not.

    READ COMMITTED gives every statement a view of its own: for one that only reads, or for a single one that writes,
    BEGIN and COMMIT would be two more round trips and nothing else. psycopg says BEGIN itself where it is needed.
    """
    driver: Any = connection.driver_connection
    if driver.autocommit is not on:
        driver.autocommit = on
        driver.cursor_factory = _BinaryCursor if on else psycopg.Cursor


@contextmanager
def unhurried(connection: object) -> Iterator[None]:
    """Let a connection wait without end meanwhile: a migration waits for another one, and for long statements."""
    if not isinstance(connection, Connection):
        yield
        return
    connection.patience = inf
    try:
        yield
    finally:
        connection.patience = None


@dataclass(frozen=True, slots=True)
class Array:
    """An array in PostgreSQL's binary form (`array_recv`), as a parameter that its statement casts.

    psycopg takes four times as long for a list: it looks for the type of each value, where a column has one.
    """

    octets: bytes


class _ArrayDumper(Dumper):
    """Hands over the octets; their type is what the statement says."""

    format = psycopg.pq.Format.BINARY
    oid = 0

    def dump(self, obj: Array) -> bytes:
        """The octets."""
        return obj.octets


psycopg.adapters.register_dumper(Array, _ArrayDumper)


def _sized(octets: bytes) -> bytes:
    return _INTEGER(len(octets)) + octets


_INTEGER, _HEADER, _EMPTY = Struct("!i").pack, Struct("!iiiii").pack, Struct("!iii").pack
_NULL, _UUID_SIZE = _INTEGER(-1), _INTEGER(16)
_SMALLINT, _SIZED_INTEGER, _BIGINT = Struct("!ih").pack, Struct("!ii").pack, Struct("!iq").pack
_ELEMENTS: Mapping[str, tuple[int, Callable[[Any], bytes]]] = {
    "smallint": (21, lambda value: _SMALLINT(2, value)),
    "integer": (23, lambda value: _SIZED_INTEGER(4, value)),
    "bigint": (20, lambda value: _BIGINT(8, value)),
    "text": (25, lambda value: _sized(value.encode())),
    "bytea": (17, _sized),
    "uuid": (2950, lambda value: _UUID_SIZE + value.bytes),
}
"""PostgreSQL's number of a type, and how it takes a value: the octets after their number."""


def array(type_: str, values: Collection[Any]) -> Array:
    """An array of one dimension.

    Args:
        type_: of its elements, as in `bigint`.
        values: integers, str, bytes or `uuid.UUID`, as the type asks; None is NULL.

    Raises:
        struct.error: an integer is too large for the type.
    """
    number, encode = _ELEMENTS[type_]
    if not values:
        return Array(_EMPTY(0, 0, number))
    elements = [_NULL if value is None else encode(value) for value in values]
    return Array(_HEADER(1, 1, number, len(elements), 1) + b"".join(elements))
