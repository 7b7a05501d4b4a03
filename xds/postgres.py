"""Connections to PostgreSQL that do not wait for ever.

The server's own time limits are no help when the server is frozen, or its machine or network is gone: psycopg waits for
its answer without end, and one request after the other keeps a thread. Here each wait for an answer has an end, after
which the connection is closed; `xds.database` takes that for a lost one.
"""

from __future__ import annotations

import select
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import Any

import psycopg

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
