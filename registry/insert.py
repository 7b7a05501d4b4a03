"""Inserting the rows of one registration with as little as each database needs.

PostgreSQL takes all rows of all tables in one statement, a list for each column: one round trip, and one text that
stays prepared however many rows there are. SQLite has no round trips: a plain INSERT for each table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from registry.models import object_code, registry_object, unique_identifier

Rows = Sequence[Mapping[str, Any]]
"""Rows of one table by column name; a column that a row does not name is NULL."""

TABLES = (registry_object, object_code, unique_identifier)
_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_COLUMNS = {table.name: tuple(table.columns.keys()) for table in TABLES}


def insert_all(connection: Connection, objects: Rows, codes: Rows, identifiers: Rows) -> None:
    """Insert rows of `registry_object`, `object_code` and `unique_identifier`, in the order given.

    Args:
        connection: an open transaction.
        objects: made by `rows.row`.
        codes: made by `rows.code_rows`.
        identifiers: made by `rows.identifier_row`.

    Raises:
        IntegrityError: another writer was first with one of the ids.
    """
    filled = tuple(zip(TABLES, (objects, codes, identifiers), strict=True))
    if connection.dialect.name == "postgresql":
        lists = [[row.get(name) for row in rows] for table, rows in filled for name in _COLUMNS[table.name]]
        connection.exec_driver_sql(_all_at_once(), tuple(lists))
        return
    for table, rows in filled:
        if rows:
            names = _COLUMNS[table.name]
            values = [tuple([_octets(row.get(name)) for name in names]) for row in rows]
            connection.exec_driver_sql(_one_by_one(table), values)


def _octets(value: Any) -> Any:
    """A UUID as `EntryUUID` keeps it in SQLite."""
    return value.bytes if isinstance(value, UUID) else value


@cache
def _one_by_one(table: Table) -> str:
    return f"{_into(table)} VALUES ({', '.join('?' * len(table.columns))})"


@cache
def _all_at_once() -> str:
    *first, last = map(_from_lists, TABLES)
    before = ", ".join(f"part_{number} AS ({statement})" for number, statement in enumerate(first))
    return f"WITH {before} {last}"


def _from_lists(table: Table) -> str:
    """An INSERT of rows whose columns are given as lists, each sent in PostgreSQL's binary form."""
    lists = ", ".join(f"%b::{_type(column)}[]" for column in table.columns)
    return f"{_into(table)} SELECT * FROM unnest({lists})"  # noqa: S608 - names of our own columns and types


def _into(table: Table) -> str:
    return f"INSERT INTO {table.name} ({', '.join(_COLUMNS[table.name])})"


def _type(column: Column[Any]) -> str:
    return column.type.dialect_impl(_DIALECT).compile(_DIALECT).partition(" COLLATE ")[0]
