"""The floor's databases: hand-written SQL through the raw drivers, on the tables, indexes and rows of the product.

`Templates` are the rows of a registration as the product writes them, made once at the start; a request only puts its
own ids into them.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol

import psycopg
from population import Population, patient_id
from sqlalchemy import Engine, Table
from sqlalchemy.engine import make_url

from registry import bodies
from registry.codes import intern
from registry.identity import Assignment, new_uuids
from registry.insert import from_lists, typed
from registry.models import object_code, registry_object, unique_identifier
from registry.rows import code_keys, code_rows, identifier_row, row
from repository.models import State, document
from xds import database
from xds.ebxml import rim
from xds.postgres import Array, array

Row = list[Any]
OBJECTS, CODES, IDENTIFIERS, DOCUMENTS = registry_object, object_code, unique_identifier, document
_IDS = ("id", "lid", "source", "target")


def _columns(table: Any) -> list[str]:
    return [column.name for column in table.columns]


@dataclass(frozen=True)
class Stored:
    """A document as ITI-41 leaves it, a row of the repository's table."""

    unique_id: str
    key: str
    hash: bytes
    size: int
    mime_type: str


class Templates:
    """The rows of a submission of n entries, as the product makes them.

    Args:
        engine: database of the registry; the codes get their numbers in it.
        entries: n.
    """

    def __init__(self, engine: Engine, entries: int) -> None:
        drawn = Population(seed=42).submission(patient_id(0), [f"2.25.{10**38 + n}" for n in range(entries)])
        ids = Assignment(new_uuids())
        ready = ids.submission(drawn)
        objects = tuple(ready.objects)
        numbers = database.write(engine, lambda conn: intern(conn, {key for obj in objects for key in code_keys(obj)}))
        order = {uuid.UUID(obj.id): number for number, obj in enumerate(objects)}
        rows = [
            row(obj, patient=0, code_ids=numbers, body=bodies.pack(rim.encode(obj, ids.part_id))) for obj in objects
        ]
        self._count = len(objects)
        self._objects = [([r[name] for name in _columns(OBJECTS)], [order.get(r[name]) for name in _IDS]) for r in rows]
        self._codes = [
            (r["code"], order[r["object"]]) for obj in objects for r in code_rows(obj, patient=0, code_ids=numbers)
        ]
        self._identifiers = [
            ([r[name] for name in _columns(IDENTIFIERS)], order[r["object"]])
            for r in (identifier_row(obj, patient=0) for obj in ready.packages)
        ]

    def filled(
        self, patient: int, unique_ids: Sequence[str], convert: Any
    ) -> tuple[list[Row], list[tuple[Any, ...]], list[Row]]:
        """The rows of one registration: of `registry_object`, `object_code` and `unique_identifier`.

        Args:
            patient: its number.
            unique_ids: of entries and SubmissionSet in the order of the message.
            convert: a UUID as the driver wants it.
        """
        first = (time.time_ns() // 1_000_000 << 80 | 7 << 76 | 2 << 62) + (uuid.uuid4().int & ((1 << 62) - 1))
        ids = [convert(uuid.UUID(int=first + number)) for number in range(self._count)]
        return (
            list(self._filled_objects(ids, patient)),
            [(code, ids[place], patient) for code, place in self._codes],
            [
                [value, ordinal, ids[place], patient, kind, digest, size]
                for value, ((_, ordinal, _, _, kind, digest, size), place) in zip(
                    unique_ids, self._identifiers, strict=True
                )
            ],
        )

    def _filled_objects(self, ids: list[Any], patient: int) -> Iterable[Row]:
        spots = [_columns(OBJECTS).index(name) for name in _IDS]
        where = _columns(OBJECTS).index("patient")
        for values, places in self._objects:
            filled = values.copy()
            filled[where] = patient
            for spot, place in zip(spots, places, strict=True):
                if place is not None:
                    filled[spot] = ids[place]
            yield filled


class Floor(Protocol):
    """What the handlers ask of a database; one instance per thread, with a connection of its own."""

    def register(self, templates: Templates, patient: str, unique_ids: Sequence[str], docs: Sequence[Stored]) -> None:
        """Write the rows of a registration, with one for each document, durably."""

    def find(self, patient: str) -> list[tuple[Any, bytes]]:
        """Id and body of a patient's Approved Stable entries."""

    def find_refs(self, patient: str) -> list[tuple[Any]]:
        """Their ids."""

    def get_documents(self, ids: Sequence[uuid.UUID]) -> list[tuple[Any, bytes]]:
        """Id and body of entries."""

    def get_all(self, patient: str) -> list[tuple[Any, bytes]]:
        """Id and body of what GetAll returns."""

    def documents(self, unique_ids: Sequence[str]) -> dict[str, Stored]:
        """Documents of the repository."""


def _insert(table: Any, mark: str) -> str:
    names = _columns(table)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})"


_PATIENT_IS = "value = {0} AND survivor IS NULL"
_PATIENT = f"(SELECT id FROM patient WHERE {_PATIENT_IS})"
_FIND = f"kind = 1 AND patient = {_PATIENT} AND status = 1 AND on_demand = 0 LIMIT 1001"
_GET_ALL = f"""
SELECT id, body FROM registry_object
WHERE patient = {_PATIENT} AND kind IN (1, 2, 3) AND status = 1 AND coalesce(on_demand, 0) = 0
UNION ALL
SELECT id, body FROM registry_object a WHERE patient = {_PATIENT} AND kind = 4 AND EXISTS (
  SELECT 1 FROM registry_object o
  WHERE (o.id = a.source OR o.id = a.target) AND o.status = 1 AND coalesce(o.on_demand, 0) = 0
) LIMIT 1001
"""
_DOCUMENT = "SELECT unique_id, key, hash, size, mime_type FROM document WHERE "


class PostgresFloor:
    """PostgreSQL by psycopg, prepared statements, results in binary."""

    def __init__(self, url: str, _: str) -> None:
        where = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        options = "-c plan_cache_mode=force_generic_plan"
        self._conn = psycopg.connect(where, autocommit=True, prepare_threshold=0, options=options)
        self._cursor = self._conn.cursor(binary=True)

    def register(self, templates: Templates, patient: str, unique_ids: Sequence[str], docs: Sequence[Stored]) -> None:
        """One statement, which finds the patient's number on the way."""
        filled = templates.filled(0, unique_ids, lambda id_: id_)
        rows = zip((OBJECTS, CODES, IDENTIFIERS), filled, strict=True)
        arrays = [column for table, some in rows for column in _arrays(table, some)]
        documents = _arrays(DOCUMENTS, [_document_row(doc) for doc in docs]) if docs else ()
        if self._cursor.execute(_at_once(with_documents=bool(docs)), (*documents, patient, *arrays)).rowcount < 1:
            raise LookupError(patient)

    def find(self, patient: str) -> list[tuple[Any, bytes]]:
        """See `Floor`."""
        sql = "SELECT id, body FROM registry_object WHERE " + _FIND.format("%s")
        return self._cursor.execute(sql, (patient,)).fetchall()

    def find_refs(self, patient: str) -> list[tuple[Any]]:
        """See `Floor`."""
        return self._cursor.execute("SELECT id FROM registry_object WHERE " + _FIND.format("%s"), (patient,)).fetchall()

    def get_documents(self, ids: Sequence[uuid.UUID]) -> list[tuple[Any, bytes]]:
        """See `Floor`."""
        sql = "SELECT id, body FROM registry_object WHERE kind = 1 AND id = ANY(%s)"
        return self._cursor.execute(sql, (list(ids),)).fetchall()

    def get_all(self, patient: str) -> list[tuple[Any, bytes]]:
        """See `Floor`."""
        return self._cursor.execute(_GET_ALL.format("%s"), (patient, patient)).fetchall()

    def documents(self, unique_ids: Sequence[str]) -> dict[str, Stored]:
        """See `Floor`."""
        rows = self._cursor.execute(_DOCUMENT + "unique_id = ANY(%s)", (list(unique_ids),)).fetchall()
        return {r[0]: Stored(*r) for r in rows}


@cache
def _at_once(*, with_documents: bool) -> str:
    objects, codes, identifiers = map(from_lists, (OBJECTS, CODES, IDENTIFIERS))
    owner = f"owner AS (SELECT id AS patient FROM patient WHERE {_PATIENT_IS.format('%b::text')})"
    parts = [owner, f"objects AS ({objects})", f"codes AS ({codes})"]
    if with_documents:
        lists = ", ".join(f"%b::{type_}[]" for _, type_ in typed(DOCUMENTS))
        new = f"INSERT INTO document ({', '.join(_columns(DOCUMENTS))}) SELECT * FROM unnest({lists})"
        parts.insert(0, f"documents AS ({new})")
    return f"WITH {', '.join(parts)} {identifiers}"


def _arrays(table: Table, rows: Sequence[Sequence[Any]]) -> list[Array]:
    columns = dict(zip(_columns(table), zip(*rows, strict=True), strict=True)) if rows else {}
    return [array(type_, columns.get(name, ())) for name, type_ in typed(table)]


class SqliteFloor:
    """SQLite by sqlite3 with the product's pragmas; two files, so two transactions in ITI-41."""

    def __init__(self, registry_url: str, repository_url: str) -> None:
        self._registry, self._repository = _open(registry_url), _open(repository_url)
        self._inserts = {table.name: _insert(table, "?") for table in (OBJECTS, CODES, IDENTIFIERS, DOCUMENTS)}

    def register(self, templates: Templates, patient: str, unique_ids: Sequence[str], docs: Sequence[Stored]) -> None:
        """See `Floor`."""
        if docs:
            self._repository.execute("BEGIN IMMEDIATE")
            self._repository.executemany(self._inserts[DOCUMENTS.name], map(_document_row, docs))
            self._repository.execute("COMMIT")
        conn = self._registry
        conn.execute("BEGIN IMMEDIATE")
        try:
            found = conn.execute("SELECT id FROM patient WHERE value = ? AND survivor IS NULL", (patient,)).fetchone()
            objects, codes, identifiers = templates.filled(found[0], unique_ids, lambda id_: id_.bytes)
            conn.executemany(self._inserts[OBJECTS.name], objects)
            conn.executemany(self._inserts[CODES.name], codes)
            conn.executemany(self._inserts[IDENTIFIERS.name], identifiers)
        except BaseException:
            conn.execute("ROLLBACK")
            raise
        conn.execute("COMMIT")

    def find(self, patient: str) -> list[tuple[Any, bytes]]:
        """See `Floor`."""
        sql = "SELECT id, body FROM registry_object WHERE " + _FIND.format("?")
        return self._registry.execute(sql, (patient,)).fetchall()

    def find_refs(self, patient: str) -> list[tuple[Any]]:
        """See `Floor`."""
        return self._registry.execute(
            "SELECT id FROM registry_object WHERE " + _FIND.format("?"), (patient,)
        ).fetchall()

    def get_documents(self, ids: Sequence[uuid.UUID]) -> list[tuple[Any, bytes]]:
        """See `Floor`."""
        sql = f"SELECT id, body FROM registry_object WHERE kind = 1 AND id IN ({', '.join('?' * len(ids))})"
        return self._registry.execute(sql, [id_.bytes for id_ in ids]).fetchall()

    def get_all(self, patient: str) -> list[tuple[Any, bytes]]:
        """See `Floor`."""
        return self._registry.execute(_GET_ALL.format("?"), (patient, patient)).fetchall()

    def documents(self, unique_ids: Sequence[str]) -> dict[str, Stored]:
        """See `Floor`."""
        sql = _DOCUMENT + f"unique_id IN ({', '.join('?' * len(unique_ids))})"
        return {r[0]: Stored(*r) for r in self._repository.execute(sql, list(unique_ids))}


def _open(url: str) -> sqlite3.Connection:
    conn = sqlite3.connect(make_url(url).database or "", timeout=30, isolation_level=None, cached_statements=64)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        conn.execute(f"PRAGMA {pragma}")
    return conn


def _document_row(doc: Stored) -> tuple[Any, ...]:
    return (doc.unique_id, doc.key, doc.hash, doc.size, doc.mime_type, State.REGISTERED, 0, int(time.time()))


class Databases:
    """Opens a database for each thread.

    Args:
        registry_url: SQLAlchemy URL.
        repository_url: the same for PostgreSQL.
    """

    def __init__(self, registry_url: str, repository_url: str) -> None:
        self._urls = (registry_url, repository_url)

    @cached_property
    def engine(self) -> Engine:
        """The registry's, for the templates."""
        return database.engine(self._urls[0])

    def open(self) -> Floor:
        """A connection."""
        return (SqliteFloor if self._urls[0].startswith("sqlite") else PostgresFloor)(*self._urls)
