"""Inserting the rows of one registration with as little as each database needs.

PostgreSQL takes all rows of all tables in one statement, a list for each column: one round trip, a transaction by
itself, and one text that stays prepared however many rows there are. SQLite has no round trips: a plain INSERT for each
table. Both find the patient's number on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from registry.models import object_code, registry_object, submitted_part, unique_identifier
from xds import database
from xds.database import AnyConnection
from xds.postgres import Array, array

T = TypeVar("T")

TableRows = Sequence[Mapping[str, Any]]
"""Rows of one table by column name; a column that a row does not name is NULL."""

TABLES = (registry_object, object_code, submitted_part, unique_identifier)
_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Rows:
    """The rows of one registration; the patient's number is left open in them.

    Attributes:
        patient: patientId.
        unused: uniqueIds that nobody may bear, else nothing is inserted.
        unused_parts: the same for the UUIDs of parts.
        objects: of `registry_object`, made by `rows.row`.
        codes: of `object_code`, made by `rows.code_rows`.
        parts: of `submitted_part`.
        identifiers: of `unique_identifier`, made by `rows.identifier_row`; at least the SubmissionSet's.
    """

    patient: str
    unused: Sequence[str]
    unused_parts: Sequence[UUID]
    objects: TableRows
    codes: TableRows
    parts: TableRows
    identifiers: TableRows

    @property
    def tables(self) -> tuple[TableRows, ...]:
        """As in `TABLES`."""
        return (self.objects, self.codes, self.parts, self.identifiers)


def insert_all(connection: AnyConnection, rows: Rows) -> bool:
    """Insert the rows in the order given.

    Returns:
        False if nothing was inserted: the patient is not known (any more), or what should be unused is not.

    Raises:
        IntegrityError: another writer was first with one of the ids, at this moment.
    """
    insert = _insert_at_once if connection.dialect.name == "postgresql" else _insert_by_table
    return insert(connection, rows)


# PostgreSQL


def _insert_at_once(connection: AnyConnection, rows: Rows) -> bool:
    unused = array("text", rows.unused), array("uuid", rows.unused_parts)
    lists = chain.from_iterable(map(_lists, TABLES, rows.tables))
    return database.changed(connection, _at_once(), (rows.patient, *unused, *lists)) > 0


def _lists(table: Table, rows: TableRows) -> Iterator[Array]:
    return (array(type_, [row.get(name) for row in rows]) for name, type_ in typed(table))


@cache
def _at_once() -> str:
    """One statement, which tells how many rows went into the last table.

    The lock makes it wait for a merge of the patient under way, and sees what became of it.
    """
    *first, last = map(from_lists, TABLES)
    before = ", ".join(f"part_{number} AS ({statement})" for number, statement in enumerate(first))
    return f"WITH owner AS ({_OWNER}), {before} {last}"


# Counted: to find out that none exists, PostgreSQL may read a table from its beginning, in hope of an early end.
_OWNER = """
    SELECT id AS patient FROM patient WHERE value = %b::text AND survivor IS NULL
    AND (SELECT count(*) FROM unique_identifier WHERE value = ANY(%b::text[])) = 0
    AND (SELECT count(*) FROM registry_object WHERE id = ANY(%b::uuid[])) = 0 FOR SHARE
"""


def from_lists(table: Table) -> str:
    """An INSERT of rows whose columns are given as lists, each sent in PostgreSQL's binary form."""
    given = ", ".join(name for name, _ in typed(table))
    lists = ", ".join(f"%b::{type_}[]" for _, type_ in typed(table))
    columns = ", ".join(table.columns.keys())
    return f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM owner, unnest({lists}) AS row ({given})"  # noqa: S608 - our own names


@cache
def typed(table: Table) -> tuple[tuple[str, str], ...]:
    """The columns that rows bring, each with the type of the array it is sent in."""
    return tuple((column.name, _type(column)) for column in table.columns if column.name != "patient")


def _type(column: Column[Any]) -> str:
    name = column.type.dialect_impl(_DIALECT).compile(_DIALECT).partition(" COLLATE ")[0].lower()
    return "text" if name == "varchar" else name


# SQLite


def _insert_by_table(connection: AnyConnection, rows: Rows) -> bool:
    owner = "SELECT id FROM patient WHERE value = ? AND survivor IS NULL"
    found = database.rows(connection, owner, (rows.patient,))
    if not found or _in_use(connection, "unique_identifier", "value", rows.unused):
        return False
    if _in_use(connection, "registry_object", "id", [id_.bytes for id_ in rows.unused_parts]):
        return False
    for table, some in zip(TABLES, rows.tables, strict=True):
        if some:
            names = table.columns.keys()
            values = [tuple(_octets({**row, "patient": found[0][0]}, names)) for row in some]
            database.change_each(connection, _by_table(table), values)
    return True


def _in_use(connection: AnyConnection, table: str, column: str, values: Sequence[object]) -> bool:
    if not values:
        return False
    marks = ", ".join("?" * len(values))
    query = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} IN ({marks}))"  # noqa: S608 - our own names
    return bool(database.rows(connection, query, tuple(values))[0][0])


def _octets(row: Mapping[str, Any], names: Iterable[str]) -> Iterator[Any]:
    """The values, UUIDs as `EntryUUID` keeps them in SQLite."""
    for value in map(row.get, names):
        yield value.bytes if isinstance(value, UUID) else value


@cache
def _by_table(table: Table) -> str:
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) VALUES ({marks})"  # noqa: S608 - our own names
