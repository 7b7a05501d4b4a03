"""The statements that every submission, every retrieval and `xds gc` run, as each database takes them.

Each is one text however many documents it is about, so that PostgreSQL keeps it prepared and nothing is compiled here:
lists travel as arrays, to SQLite as JSON. What runs seldom is written with SQLAlchemy, in `claims`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from xds import database
from xds.database import AMONG, AnyConnection, listed
from xds.postgres import array

NewRow = tuple[str, str, bytes, int, str]
"""What is new in a row to be inserted: uniqueId, key, hash, size, mime type."""

FoundRow = tuple[str, str, bytes, int, str, int, int]
"""What is told of a row: uniqueId, key, hash, size, mime type, state, claimed."""


_INSERT = {
    "postgresql": """
        INSERT INTO document (unique_id, key, hash, size, mime_type, state, holders, claimed)
        SELECT new.*, 1, 1, %b::bigint FROM unnest(%b::text[], %b::text[], %b::bytea[], %b::bigint[], %b::text[]) AS new
        ON CONFLICT DO NOTHING RETURNING unique_id""",
    "sqlite": """
        INSERT INTO document (claimed, unique_id, key, hash, size, mime_type, state, holders)
        VALUES (?, ?, ?, ?, ?, ?, 1, 1) ON CONFLICT DO NOTHING RETURNING unique_id""",
}
_FIND = {
    dialect: f"SELECT unique_id, key, hash, size, mime_type, state, claimed FROM document WHERE unique_id {among}"  # noqa: S608 - our own
    for dialect, among in AMONG.items()
}
# PostgreSQL's setting is for this transaction, which is this statement: its commit does not wait for the disk.
_CONFIRM = {
    dialect: f"""
        UPDATE document SET state = 2, holders = 0 WHERE unique_id {among} AND key {among}
        RETURNING unique_id{", set_config('synchronous_commit', 'off', true)" if dialect == "postgresql" else ""}"""  # noqa: S608 - our own
    for dialect, among in AMONG.items()
}
_MEANT_KEYS = {
    dialect: f"SELECT key FROM document WHERE key {among}"  # noqa: S608 - our own
    for dialect, among in AMONG.items()
}
_PACKED_KEYS = {
    "postgresql": """
        SELECT substr(key, 1, 2), string_agg(substr(key, 4), '') FROM document
        WHERE key >= %b::text AND key < %b::text GROUP BY 1""",
    "sqlite": """
        SELECT substr(key, 1, 2), group_concat(substr(key, 4), '') FROM document
        WHERE key >= ? AND key < ? GROUP BY 1""",
}
# State.PENDING is 1, State.REGISTERED 2.


def insert(connection: AnyConnection, rows: Sequence[NewRow], claimed: int) -> set[str]:
    """Insert those rows, pending, whose uniqueId nobody has, in their order; returns the uniqueIds of these.

    On PostgreSQL it is one statement.
    """
    text = _INSERT[connection.dialect.name]
    if connection.dialect.name == "postgresql":
        columns = map(array, ("text", "text", "bytea", "bigint", "text"), zip(*rows, strict=True))
        return _first(database.rows(connection, text, (claimed, *columns)))
    return {value for row in rows for value in _first(database.rows(connection, text, (claimed, *row)))}


def find(connection: AnyConnection, unique_ids: list[str]) -> Iterable[FoundRow]:
    """The rows of these uniqueIds, as far as they are there."""
    return database.rows(connection, _FIND[connection.dialect.name], (listed(connection, unique_ids),))


def confirm(connection: AnyConnection, unique_ids: list[str], keys: list[str]) -> set[str]:
    """Let the rows with one of the uniqueIds and one of the keys be registered ones; returns their uniqueIds.

    A key is drawn for one uniqueId, so that the two lists need not be paired.

    On PostgreSQL it is one statement, which when it is a transaction by itself does not wait for the disk.
    """
    lists = listed(connection, unique_ids), listed(connection, keys)
    return _first(database.rows(connection, _CONFIRM[connection.dialect.name], lists))


def meant_keys(connection: AnyConnection, keys: list[str]) -> set[str]:
    """Those of the keys that a row has; reads the whole table."""
    return _first(database.rows(connection, _MEANT_KEYS[connection.dialect.name], (listed(connection, keys),)))


def count(connection: Connection) -> int:
    """How many documents there are."""
    return int(connection.exec_driver_sql("SELECT count(*) FROM document").scalar_one())


def packed_keys(connection: Connection, first: str, end: str) -> Iterator[tuple[str, str]]:
    """Keys from `first` to before `end`, as folder and the names in it joined; reads the whole table."""
    found: Iterator[Any] = iter(connection.exec_driver_sql(_PACKED_KEYS[connection.dialect.name], (first, end)))
    return found


def _first(rows: Iterable[Sequence[str]]) -> set[str]:
    return {row[0] for row in rows}
