"""Databases as both actors use them: SQLite (embedded, WAL) or PostgreSQL, by URL.

A transaction is a function of a connection: it can be run again after a conflict with another writer, or when the
database was restarted behind a pooled connection. What goes wrong is told apart in one place, `Trouble`, so that the
actors can name it in the standard's words without any SQL reaching the peer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from xds import postgres, sqlite

T = TypeVar("T")
C = TypeVar("C")
log = logging.getLogger(__name__)

_ATTEMPTS = 5
_CONNECT_SECONDS = 5
_STATEMENT_MS, _LOCK_MS = 60_000, 20_000


class Trouble(Enum):
    """Why a database did not do what it was asked."""

    BUSY = "too many transactions at once, try again"
    FULL = "the database has no room left"
    DOWN = "the database cannot be reached"
    OTHER = "the database failed"


@cache  # a process has few databases, and an engine must not be dropped with its connections open
def engine(url: str, connections: int = 16) -> Engine:
    """Open a database; one engine per URL and process, its connections shared by all threads.

    Args:
        url: SQLAlchemy URL, `sqlite:////path/file.db` or `postgresql+psycopg://user:password@host/name`.
        connections: most connections at a time.
    """
    if make_url(url).get_backend_name() == "sqlite":
        timeout = {"timeout": sqlite.BUSY_MS / 1000}
        made = create_engine(url, pool_size=connections, pool_reset_on_return=None, connect_args=timeout)
        event.listen(made, "connect", sqlite.prepare)
        event.listen(made, "begin", _begin_sqlite)
        return made
    # One plan for a statement, whatever its values: nearly all go from a patient or an id by one index. To compare the
    # cost of plans PostgreSQL would make a new one each time; see `planned_for_values`.
    options = " ".join(
        f"-c {name}={value}"
        for name, value in {
            "statement_timeout": _STATEMENT_MS,
            "lock_timeout": _LOCK_MS,
            "idle_in_transaction_session_timeout": _STATEMENT_MS,
            "plan_cache_mode": "force_generic_plan",
        }.items()
    )
    made = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_CONNECT_SECONDS,
        pool_reset_on_return=None,  # `_run` has ended every transaction
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "options": options,
            "application_name": "xds",
        },
    )
    event.listen(made, "do_connect", postgres.connect)
    event.listen(made, "checkout", postgres.refuse_lost)
    event.listen(made, "begin", _begin_postgres)
    return made


class Direct:
    """A connection of the pool for statements in the driver's own words alone, see `rows`.

    SQLAlchemy's Connection takes as long to make, begin and end as a short statement.

    Attributes:
        dialect: of the engine.
        connection: from the pool.
        invalidated: whether it was given up.

    Raises:
        DBAPIError, TimeoutError: as SQLAlchemy would.
    """

    def __init__(self, engine: Engine) -> None:
        self.dialect = engine.dialect
        self.invalidated = False
        try:
            self.connection = engine.raw_connection()
        except self.dialect.loaded_dbapi.Error as error:
            raise _wrapped(self.dialect, None, error, lost=self.dialect.is_disconnect(error, None, None)) from error

    def invalidate(self, exception: BaseException | None = None) -> None:
        """Give it up: the pool makes another one."""
        self.invalidated = True
        self.connection.invalidate(exception)


AnyConnection = Connection | Direct


def _begin_postgres(connection: Connection) -> None:
    postgres.set_autocommit(connection.connection, on=bool(connection.get_execution_options().get("alone")))


def _begin_sqlite(connection: Connection) -> None:
    _say_begin(connection, writes=bool(connection.get_execution_options().get("writes")))


def _say_begin(connection: AnyConnection, *, writes: bool) -> None:
    # A transaction that reads first and writes later would fail when another one wrote in between.
    with _driver(connection, "BEGIN") as cursor:
        if writes:
            sqlite.begin_immediate(cursor.connection)
        else:
            cursor.execute("BEGIN")


def read(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run a function that only reads.

    SQLite shows it one view of the database; on PostgreSQL each of its statements sees what was committed before it.
    PostgreSQL sends its results in binary form, which SQLAlchemy cannot read for the catalogue's types (reflection).
    """
    return _run(lambda: _transaction(engine, alone=True), work, _worth_repeating)


def read_at_once(engine: Engine, work: Callable[[Direct], T]) -> T:
    """As `read`, by statements in the driver's own words alone: for what every request does."""
    return _run(lambda: _direct(engine, writes=False), work, _worth_repeating)


def write(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run a function in one transaction that is durable when this returns; it is run again after a conflict.

    Raises:
        SQLAlchemyError: see `trouble`; nothing was changed, unless the connection was lost in the commit itself.
    """
    with _turn(engine):
        return _run(lambda: _transaction(engine, writes=True), work, _worth_repeating)


def write_at_once(engine: Engine, work: Callable[[Direct], T]) -> T:
    """Run a function that on PostgreSQL changes things by one statement, its last: a transaction by itself.

    Its statements are in the driver's own words. On SQLite it is as `write`. It is run again only if the database says
    that nothing was done, not after a conflict: who calls this knows what to read anew.

    Raises:
        IntegrityError: another writer was first.
        SQLAlchemyError: see `trouble`; nothing was changed, unless the connection was lost in the statement itself.
    """
    with _turn(engine):
        return _run(lambda: _direct(engine, writes=True), work, _is_undone)


def _turn(engine: Engine) -> AbstractContextManager[None]:
    return sqlite.turn(str(engine.url)) if engine.dialect.name == "sqlite" else nullcontext()


def rows(connection: AnyConnection, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """Rows of a statement in the driver's own words, as the driver gives them.

    What every request runs goes to the driver directly: SQLAlchemy's result costs more than such a statement.

    Raises:
        DBAPIError: as SQLAlchemy would.
    """
    with _driver(connection, statement) as cursor:
        return list(cursor.execute(statement, parameters).fetchall())


def changed(connection: AnyConnection, statement: str, parameters: Sequence[Any] = ()) -> int:
    """Run a statement in the driver's own words; tells how many rows it changed. Raises as `rows`."""
    with _driver(connection, statement) as cursor:
        return int(cursor.execute(statement, parameters).rowcount)


def change_each(connection: AnyConnection, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
    """Run a statement in the driver's own words with each of the parameters. Raises as `rows`."""
    with _driver(connection, statement) as cursor:
        cursor.executemany(statement, parameters)


AMONG: Mapping[str, str] = {
    "postgresql": "= ANY(%b::text[])",
    "sqlite": "IN (SELECT value FROM json_each(?))",
}
"""For each database: one of any number of texts, which are given as `listed`."""


def listed(connection: AnyConnection, values: Collection[str]) -> postgres.Array | str:
    """Texts as one parameter, see `AMONG`."""
    return postgres.array("text", values) if connection.dialect.name == "postgresql" else json.dumps(list(values))


@contextmanager
def setting(connection: AnyConnection, name: str, value: str) -> Iterator[None]:
    """Give a setting of PostgreSQL another value meanwhile, for a function that only reads; SQLite has none of them."""
    if connection.dialect.name != "postgresql":
        yield
        return
    changed(connection, f"SET {name} TO {value}")
    try:
        yield
    finally:
        if not connection.invalidated:  # a lost one is closed, and its settings are gone
            changed(connection, f"RESET {name}")


def planned_for_values(connection: AnyConnection) -> AbstractContextManager[None]:
    """Let PostgreSQL plan each statement meanwhile for the values it comes with, since some are frequent, some rare."""
    return setting(connection, "plan_cache_mode", "force_custom_plan")


@contextmanager
def _driver(connection: AnyConnection, statement: str) -> Iterator[Any]:
    cursor = None
    try:
        cursor = connection.connection.cursor()
        yield cursor
    except connection.dialect.loaded_dbapi.Error as error:
        lost = connection.dialect.is_disconnect(error, connection.connection, cursor)
        if lost:
            connection.invalidate(error)
        raise _wrapped(connection.dialect, statement, error, lost=lost) from error


def _wrapped(dialect: Dialect, statement: str | None, error: Exception, *, lost: bool) -> BaseException:
    base: Any = dialect.loaded_dbapi.Error
    return DBAPIError.instance(statement, None, error, base, connection_invalidated=lost, dialect=dialect)


@contextmanager
def _transaction(engine: Engine, **options: bool) -> Iterator[Connection]:
    with engine.connect().execution_options(**options) as connection:
        try:
            with connection.begin():
                yield connection
        finally:
            if engine.dialect.name == "sqlite" and not connection.invalidated:
                connection.connection.rollback()


@contextmanager
def _direct(engine: Engine, *, writes: bool) -> Iterator[Direct]:
    """A connection with a transaction begun, or on PostgreSQL with none."""
    connection = Direct(engine)
    try:
        if engine.dialect.name == "postgresql":
            postgres.set_autocommit(connection.connection, on=True)
            yield connection
        else:
            yield from _in_transaction(connection, writes=writes)
    finally:
        connection.connection.close()


def _in_transaction(connection: Direct, *, writes: bool) -> Iterator[Direct]:
    _say_begin(connection, writes=writes)
    try:
        yield connection
        changed(connection, "COMMIT")
    finally:
        if not connection.invalidated:
            connection.connection.rollback()  # which does nothing after COMMIT


def _run(
    begin: Callable[[], AbstractContextManager[C]],
    work: Callable[[C], T],
    worth_repeating: Callable[[DBAPIError], bool],
) -> T:
    for attempt in range(1, _ATTEMPTS + 1):
        committing = False
        try:
            with begin() as connection:
                result = work(connection)
                committing = True
        except DBAPIError as error:
            if committing or attempt == _ATTEMPTS or not worth_repeating(error):
                raise
            log.info("transaction repeated (attempt %d): %s", attempt + 1, type(error.orig).__name__)
        else:
            return result
    raise AssertionError  # the last attempt returned or raised


def _is_undone(error: DBAPIError) -> bool:
    """Whether PostgreSQL says itself that it did nothing: serialization, deadlock, ended by an administrator."""
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01", "57P01")


def _worth_repeating(error: DBAPIError) -> bool:
    return _is_undone(error) or isinstance(error, IntegrityError) or error.connection_invalidated


# Of SQLite, and of a PostgreSQL that refuses a connection: psycopg gives no SQLSTATE then.
_BUSY = ("locked", "too many clients", "too many connections", "remaining connection slots")


def trouble(error: SQLAlchemyError) -> Trouble:
    """Tell what is wrong with the database."""
    if isinstance(error, PoolTimeout):
        return Trouble.BUSY
    original = getattr(error, "orig", None)
    state, message = getattr(original, "sqlstate", None) or "", str(original).lower()
    if (state[:2] == "53" and state != "53300") or "disk is full" in message or "disk i/o" in message:
        return Trouble.FULL
    if state in ("53300", "55P03", "57014", "40001", "40P01") or any(words in message for words in _BUSY):
        return Trouble.BUSY
    if isinstance(error, InvalidRequestError):  # the pool's, when what it opened anew was closed at once as well
        return Trouble.DOWN
    if state[:2] in ("08", "57") or getattr(error, "connection_invalidated", False) or "connect" in message:
        return Trouble.DOWN
    return Trouble.OTHER


def describe(url: str) -> str:
    """The URL with its password hidden, as `xds check` and the log show it."""
    return make_url(url).render_as_string(hide_password=True)
