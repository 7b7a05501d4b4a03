"""The statements that every submission, every retrieval and `xds gc` run, as each database takes them.

Each is one text however many documents it is about, so that PostgreSQL keeps it prepared and nothing is compiled here:
lists travel as arrays, to SQLite as JSON. What runs seldom is written with SQLAlchemy, in `claims`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from xds import database

NewRow = tuple[str, str, bytes, int, str]
"""What is new in a row to be inserted: uniqueId, key, hash, size, mime type."""

FoundRow = tuple[str, str, bytes, int, str, int, int]
"""What is told of a row: uniqueId, key, hash, size, mime type, state, claimed."""


@dataclass(frozen=True)
class Statements:
    """Texts for one database.

    Attributes:
        insert: pending rows whose uniqueId nobody has, returning their uniqueIds; takes the time, then a list for each
            column, in SQLite one row.
        find: rows by uniqueId.
        confirm: rows, by uniqueId and key, become registered, returning their uniqueIds.
        meant_keys: those of a list of keys that a row has.
        packed_keys: for each folder in a range of keys, all names in it, one after the other.
    """

    insert: str
    find: str
    confirm: str
    meant_keys: str
    packed_keys: str


# State.PENDING is 1, State.REGISTERED 2.
_POSTGRESQL = Statements(
    insert="""
        INSERT INTO document (unique_id, key, hash, size, mime_type, state, holders, claimed)
        SELECT new.*, 1, 1, %b::bigint FROM unnest(%b::text[], %b::text[], %b::bytea[], %b::bigint[], %b::text[]) AS new
        ON CONFLICT DO NOTHING RETURNING unique_id""",
    find="""
        SELECT unique_id, key, hash, size, mime_type, state, claimed FROM document WHERE unique_id = ANY(%b::text[])""",
    # The setting is for this transaction, which is this statement: its commit does not wait for the disk.
    confirm="""
        UPDATE document SET state = 2, holders = 0 WHERE unique_id = ANY(%b::text[]) AND key = ANY(%b::text[])
        RETURNING unique_id, set_config('synchronous_commit', 'off', true)""",
    meant_keys="""
        SELECT key FROM document WHERE key = ANY(%b::text[])""",
    packed_keys="""
        SELECT substr(key, 1, 2), string_agg(substr(key, 4), '') FROM document
        WHERE key >= %b::text AND key < %b::text GROUP BY 1""",
)
_SQLITE = Statements(
    insert="""
        INSERT INTO document (claimed, unique_id, key, hash, size, mime_type, state, holders)
        VALUES (?, ?, ?, ?, ?, ?, 1, 1) ON CONFLICT DO NOTHING RETURNING unique_id""",
    find="""
        SELECT unique_id, key, hash, size, mime_type, state, claimed FROM document
        WHERE unique_id IN (SELECT value FROM json_each(?))""",
    confirm="""
        UPDATE document SET state = 2, holders = 0
        WHERE unique_id IN (SELECT value FROM json_each(?)) AND key IN (SELECT value FROM json_each(?))
        RETURNING unique_id""",
    meant_keys="""
        SELECT key FROM document WHERE key IN (SELECT value FROM json_each(?))""",
    packed_keys="""
        SELECT substr(key, 1, 2), group_concat(substr(key, 4), '') FROM document
        WHERE key >= ? AND key < ? GROUP BY 1""",
)


def _is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _of(connection: Connection) -> Statements:
    return _POSTGRESQL if _is_postgresql(connection) else _SQLITE


def _list(connection: Connection, values: list[str]) -> tuple[Any]:
    return (values,) if _is_postgresql(connection) else (json.dumps(values),)


def insert(connection: Connection, rows: Sequence[NewRow], claimed: int) -> set[str]:
    """Insert those rows, pending, whose uniqueId nobody has, in their order; returns the uniqueIds of these.

    On PostgreSQL it is one statement.
    """
    text = _of(connection).insert
    if _is_postgresql(connection):
        return _first(database.rows(connection, text, (claimed, *map(list, zip(*rows, strict=True)))))
    return {value for row in rows for value in _first(database.rows(connection, text, (claimed, *row)))}


def find(connection: Connection, unique_ids: list[str]) -> Iterable[FoundRow]:
    """The rows of these uniqueIds, as far as they are there."""
    return database.rows(connection, _of(connection).find, _list(connection, unique_ids))


def confirm(connection: Connection, unique_ids: list[str], keys: list[str]) -> set[str]:
    """Let the rows with one of the uniqueIds and one of the keys be registered ones; returns their uniqueIds.

    A key is drawn for one uniqueId, so that the two lists need not be paired.

    On PostgreSQL it is one statement, which when it is a transaction by itself does not wait for the disk.
    """
    parameters = (*_list(connection, unique_ids), *_list(connection, keys))
    return _first(database.rows(connection, _of(connection).confirm, parameters))


def meant_keys(connection: Connection, keys: list[str]) -> set[str]:
    """Those of the keys that a row has; reads the whole table."""
    return _first(database.rows(connection, _of(connection).meant_keys, _list(connection, keys)))


def count(connection: Connection) -> int:
    """How many documents there are."""
    return int(connection.exec_driver_sql("SELECT count(*) FROM document").scalar_one())


def packed_keys(connection: Connection, first: str, end: str) -> Iterator[tuple[str, str]]:
    """Keys from `first` to before `end`, as folder and the names in it joined; reads the whole table."""
    found: Iterator[Any] = iter(connection.exec_driver_sql(_of(connection).packed_keys, (first, end)))
    return found


def _first(rows: Iterable[Sequence[str]]) -> set[str]:
    return {row[0] for row in rows}
