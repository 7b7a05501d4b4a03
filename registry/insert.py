"""Inserting the rows of one registration with as little as each database needs.

PostgreSQL takes all rows of all tables in one statement, a list for each column: one round trip, a transaction by
itself, and one text that stays prepared however many rows there are. SQLite has no round trips: a plain INSERT for each
table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from registry.models import object_code, registry_object, submitted_part, unique_identifier

TableRows = Sequence[Mapping[str, Any]]
"""Rows of one table by column name; a column that a row does not name is NULL."""

TABLES = (registry_object, object_code, submitted_part, unique_identifier)
_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_COLUMNS = {table.name: tuple(table.columns.keys()) for table in TABLES}


class PatientGone(Exception):  # noqa: N818 - what is the case
    """The patient was merged away, or removed, since it was looked up."""


@dataclass(frozen=True)
class Rows:
    """The rows of one registration.

    Attributes:
        patient: number of its patient.
        objects: of `registry_object`, made by `rows.row`.
        codes: of `object_code`, made by `rows.code_rows`.
        parts: of `submitted_part`.
        identifiers: of `unique_identifier`, made by `rows.identifier_row`; at least the SubmissionSet's.
    """

    patient: int
    objects: TableRows
    codes: TableRows
    parts: TableRows
    identifiers: TableRows


def insert_all(connection: Connection, rows: Rows) -> None:
    """Insert the rows in the order given, unless the patient is gone.

    Raises:
        IntegrityError: another writer was first with one of the ids.
        PatientGone: nothing was inserted.
    """
    filled = tuple(zip(TABLES, (rows.objects, rows.codes, rows.parts, rows.identifiers), strict=True))
    if connection.dialect.name == "postgresql":
        lists = [[row.get(name) for row in some] for table, some in filled for name in _COLUMNS[table.name]]
        if not connection.exec_driver_sql(_all_at_once(), (rows.patient, *lists)).rowcount:
            raise PatientGone
        return
    if not connection.exec_driver_sql("SELECT 1 FROM patient WHERE id = ? AND survivor IS NULL", (rows.patient,)).all():
        raise PatientGone
    for table, some in filled:
        if some:
            names = _COLUMNS[table.name]
            values = [tuple([_octets(row.get(name)) for name in names]) for row in some]
            connection.exec_driver_sql(_one_by_one(table), values)


def _octets(value: Any) -> Any:
    """A UUID as `EntryUUID` keeps it in SQLite."""
    return value.bytes if isinstance(value, UUID) else value


@cache
def _one_by_one(table: Table) -> str:
    return f"{_into(table)} VALUES ({', '.join('?' * len(table.columns))})"


@cache
def _all_at_once() -> str:
    """One statement, which tells how many rows went into the last table.

    The lock makes it wait for a merge of the patient under way, and sees what became of it.
    """
    *first, last = map(_from_lists, TABLES)
    before = ", ".join(f"part_{number} AS ({statement})" for number, statement in enumerate(first))
    owner = "SELECT FROM patient WHERE id = %b::bigint AND survivor IS NULL FOR SHARE"
    return f"WITH owner AS ({owner}), {before} {last}"


def _from_lists(table: Table) -> str:
    """An INSERT of rows whose columns are given as lists, each sent in PostgreSQL's binary form."""
    lists = ", ".join(f"%b::{_type(column)}[]" for column in table.columns)
    return f"{_into(table)} SELECT rows.* FROM owner, unnest({lists}) AS rows"  # noqa: S608 - names of our own


def _into(table: Table) -> str:
    return f"INSERT INTO {table.name} ({', '.join(_COLUMNS[table.name])})"


def _type(column: Column[Any]) -> str:
    return column.type.dialect_impl(_DIALECT).compile(_DIALECT).partition(" COLLATE ")[0]
