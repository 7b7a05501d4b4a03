"""Rows for `bench/indexes.py`: what `bulk` does not load, what is inserted to see what that costs, tables without keys.

Everything is written as SQL for both databases; where they differ, `SPOKEN` has the words of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from grow import relations
from sqlalchemy import Connection, Engine, Table

from registry.models import code, object_code, patient, registry_object, submitted_part, unique_identifier
from repository.models import document

ROWS = 20_000
"""Inserted at a time."""
FRESH, BARE, KEPT = "bench_fresh", "bench_bare", "bench_kept"
SPOKEN: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "uuid": "gen_random_uuid()",
        "next uuid": "('0fff0000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid",
        "digits": "substr(md5(random()::text), 1, 24)",
        "mark": "%s",
    },
    "sqlite": {
        "uuid": "randomblob(16)",
        "next uuid": "CAST(printf('0fff%012d', {number}) AS BLOB)",
        "digits": "lower(hex(randomblob(12)))",
        "mark": "?",
    },
}
_ARRIVAL = {object_code: "object", unique_identifier: "object", document: "key"}
"""By what the rows are as they came, where the table itself keeps another order in SQLite."""


def load_the_rest(connection: Connection) -> None:
    """Give each DocumentEntry a row in the repository's table, and one of its parts a UUID of the source's.

    A source that names its parts names a dozen of an entry; most name none.
    """
    words = SPOKEN[connection.dialect.name]
    connection.exec_driver_sql(
        f"INSERT INTO {document.name} (unique_id, key, hash, size, mime_type, state, holders, claimed) "
        "SELECT value, substr(digits, 1, 2) || '/' || substr(digits, 3), hash, size, 'text/xml', 2, 0, 1764000000 "
        f"FROM (SELECT value, hash, size, {words['digits']} AS digits FROM {unique_identifier.name} WHERE kind = 1) s"
    )
    connection.exec_driver_sql(
        f"INSERT INTO {submitted_part.name} SELECT {words['uuid']} FROM {registry_object.name} WHERE kind = 1"
    )


def _changes(dialect: str) -> Mapping[Table, Mapping[str, str]]:
    """What makes a copy of a row a new one: UUIDs in order of time, as the registry draws them, and longer values."""
    words = SPOKEN[dialect]
    next_uuid = words["next uuid"]
    ends = {
        end: f"CASE WHEN {end} IS NULL THEN NULL ELSE {next_uuid.format(number=f'number + {place}')} END"
        for place, end in enumerate(("source", "target"))
    }
    own = next_uuid.format(number="number + 2")
    value = "value || '.' || number"
    return {
        patient: {"id": f"number + (SELECT max(id) FROM {patient.name})", "value": value},
        code: {"id": f"number + (SELECT max(id) FROM {code.name})", "value": value},
        registry_object: {"id": own, "lid": own, **ends},
        object_code: {"object": own},
        unique_identifier: {"value": value},
        submitted_part: {"id": words["uuid"]},
        document: {"unique_id": "unique_id || '.' || number"},
    }


def _names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def make_fresh(connection: Connection, table: Table) -> None:
    """Make `FRESH`, `ROWS` new rows for a table: copies of those that came first, of all kinds and patients."""
    changes = _changes(connection.dialect.name)[table]
    columns = ", ".join(f"{changes.get(name, name)} AS {name}" for name in _names(table))
    order = f"ORDER BY {_ARRIVAL[table]}" if table in _ARRIVAL else ""
    some = f"SELECT * FROM {table.name} {order} LIMIT {ROWS}"
    there = connection.exec_driver_sql(f"SELECT count(*) FROM ({some}) s").scalar_one()
    times = f"SELECT 1 FROM {registry_object.name} LIMIT {-(-ROWS // there)}"
    numbered = f"SELECT s.*, row_number() OVER () AS number FROM ({some}) s CROSS JOIN ({times}) t LIMIT {ROWS}"
    connection.exec_driver_sql(f"CREATE TABLE {FRESH} AS SELECT {columns} FROM ({numbered}) n")


def insert_fresh(connection: Connection, table: Table) -> None:
    """Insert them."""
    columns = ", ".join(_names(table))
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {FRESH}")


# SQLite's keys


@contextmanager
def bare(engine: Engine, table: Table, constraint: str) -> Iterator[float]:
    """Make `BARE`, a table of the same rows and indexes without a constraint, which SQLite cannot drop.

    Yields:
        Octets by which the table with the constraint, and all its indexes, is larger.
    """
    with engine.begin() as connection:
        for statement in _without(connection, table, constraint):
            connection.exec_driver_sql(statement)
    sizes = relations(engine)
    yield _octets(engine, table.name, sizes) - _octets(engine, BARE, sizes)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {BARE}")


def _without(connection: Connection, table: Table, constraint: str) -> Iterator[str]:
    """The statements that make it, out of those that made the table."""
    query = "SELECT name, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type DESC"
    (_, made), *indexes = connection.exec_driver_sql(query, (table.name,)).fetchall()
    made, found = re.subn(rf",\s*CONSTRAINT {constraint} (PRIMARY KEY|UNIQUE) \([^)]*\)", "", made)
    if not found:
        raise LookupError(f"{table.name} has no constraint {constraint}:\n{made}")
    if constraint == table.primary_key.name:
        made = made.replace("WITHOUT ROWID", "")
    yield re.sub(rf"TABLE \"?{table.name}\b\"?", f"TABLE {BARE}", made, count=1)
    yield f"INSERT INTO {BARE} SELECT * FROM {table.name}"
    for name, sql in indexes:
        yield sql.replace(name, f"{BARE}_{name}", 1).replace(f"ON {table.name}", f"ON {BARE}", 1)


def _octets(engine: Engine, table: str, sizes: Mapping[str, int]) -> float:
    query = "SELECT name FROM sqlite_master WHERE tbl_name = ?"
    with engine.connect() as connection:
        return float(sum(sizes.get(name, 0) for (name,) in connection.exec_driver_sql(query, (table,))))
