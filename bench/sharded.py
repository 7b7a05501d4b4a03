"""What sharding adds to the disk: the tables that docs/scaling.md proposes, on one PostgreSQL, beside today's.

    python bench/sharded.py --to 5 --json sharded.json

`bulk` loads a registry and makes its indexes in the end, as `grow.py` measures it: their pages are full. Then today's
tables and the proposed ones are filled anew, each with its keys in place and row after row in the order of arrival, so
that their indexes grow as those of a registry at work do. What is larger there than in the curve of `grow.py` goes to
`sizing.py`. That a table is spread over shards changes nothing in the octets of a row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from bulk import fill_postgres, raw_url
from grow import opened
from index_rows import load_the_rest
from report import machine
from rich.console import Console
from rich.table import Table
from run import StoreKind
from sizing import Added
from stack import clean_up_on_sigterm, services

from repository.migrations import SCHEMA as REPOSITORY

err = Console(stderr=True)
BUILT, GROWN, SHARDED = "public", "grown", "sharded"
_ORDERS = {
    "patient": "id",
    "registry_object": "id",
    "object_code": "object",
    "unique_identifier": "object",
    "document": "key",
}
"""Table -> by what its rows are as they came; a document's key is random, as its uniqueId is."""
_PROPOSED = {
    "pk_registry_object": "PRIMARY KEY (id, patient)",
    "pk_object_code": "PRIMARY KEY (code, object, patient)",
    "uq_patient_value": "",
}
"""Constraint of today -> what becomes of it."""
_PATIENT_FIRST = "patient_first"
_OTHER_ORDER = f"CREATE UNIQUE INDEX {_PATIENT_FIRST} ON {SHARDED}.registry_object (patient, id)"
"""The same key the other way round, to compare: it is no part of what is proposed."""
# A block is a UUID with its last four digits zero, the number these digits.
_NEW = f"""
CREATE TABLE {SHARDED}.patient_value (
    value text COLLATE "C", patient bigint NOT NULL, CONSTRAINT pk_patient_value PRIMARY KEY (value)
);
CREATE TABLE {SHARDED}.object_patient (
    block uuid, number integer, patient bigint NOT NULL, CONSTRAINT pk_object_patient PRIMARY KEY (block, number)
);
INSERT INTO {SHARDED}.patient_value SELECT value, id FROM patient ORDER BY id;
INSERT INTO {SHARDED}.object_patient
    SELECT (left(id::text, -4) || '0000')::uuid, ('x' || right(id::text, 4))::bit(16)::integer, patient
    FROM registry_object ORDER BY id;
"""
_CONSTRAINTS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u')
"""
_INDEXES = """
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = %s AND indexname LIKE 'ix%%'
"""
_RELATIONS = """
SELECT n.nspname, t.relname, c.relname, t.reltuples,
    CASE c.relkind WHEN 'r' THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_class t ON t.oid = coalesce(i.indrelid, c.oid)
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'i') AND t.relname = ANY(%s)
ORDER BY t.relname, c.relkind DESC, c.relname
"""


@dataclass(frozen=True)
class Relation:
    """A table or an index.

    Attributes:
        table: its table, or itself.
        name: its own.
        rows: of the table.
        octets: for each schema that has it.
    """

    table: str
    name: str
    rows: int
    octets: dict[str, int]

    def each(self, schema: str) -> float:
        """Octets for a row of its table; none where the schema does not have it."""
        return self.octets.get(schema, 0) / self.rows


def remake(conn: psycopg.Connection[Any], schema: str, tables: Sequence[str], changed: Mapping[str, str]) -> None:
    """Make tables anew in a schema of their own, with some constraints changed."""
    conn.execute(f"CREATE SCHEMA {schema}")
    for table in tables:
        conn.execute(f"CREATE TABLE {schema}.{table} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES)")
        for name, definition in conn.execute(_CONSTRAINTS, (table,)).fetchall():
            if wanted := changed.get(name, definition):
                conn.execute(f"ALTER TABLE {schema}.{table} ADD CONSTRAINT {name} {wanted}")
        for (definition,) in conn.execute(_INDEXES, (table,)).fetchall():
            conn.execute(definition.replace("ON public.", f"ON {schema}."))


def refill(conn: psycopg.Connection[Any], schema: str, tables: Sequence[str]) -> None:
    """Fill them row after row."""
    for table in tables:
        err.print(f"{schema}.{table}", highlight=False)
        conn.execute(f"INSERT INTO {schema}.{table} SELECT * FROM {table} ORDER BY {_ORDERS[table]}")


def relations(conn: psycopg.Connection[Any]) -> list[Relation]:
    """Every table and index, with its octets in each schema."""
    found: dict[str, Relation] = {}
    tables = [*_ORDERS, "patient_value", "object_patient"]
    for schema, table, name, rows, octets in conn.execute(_RELATIONS, ([BUILT, GROWN, SHARDED], tables)):
        found.setdefault(name, Relation(table, name, int(rows), {})).octets[schema] = octets
    return list(found.values())


def added(found: Sequence[Relation], entries: int) -> Added:
    """What `sizing.py` needs of it."""
    by_name = {relation.name: relation for relation in found}

    def more(name: str) -> int:
        octets = by_name[name].octets
        return octets[SHARDED] - octets[GROWN]

    def each(table: str, schema: str) -> float:
        return sum(relation.each(schema) for relation in found if relation.table == table)

    registry = [relation for relation in found if BUILT in relation.octets and relation.table != "document"]
    return Added(
        grown=sum(relation.octets[GROWN] - relation.octets[BUILT] for relation in registry) / entries,
        key=more("pk_registry_object") / by_name["pk_registry_object"].rows,
        code_key=more("pk_object_code") / entries,
        look_up=each("object_patient", SHARDED),
        patient=each("patient_value", SHARDED) + each("patient", SHARDED) - each("patient", GROWN),
        document=each("document", GROWN),
    )


def measure(conn: psycopg.Connection[Any]) -> list[Relation]:
    """Fill all of them."""
    everything, proposed = list(_ORDERS), ["patient", "registry_object", "object_code"]
    remake(conn, GROWN, everything, {})
    refill(conn, GROWN, everything)
    remake(conn, SHARDED, proposed, _PROPOSED)
    conn.execute(_OTHER_ORDER)
    refill(conn, SHARDED, proposed)
    conn.execute(_NEW)
    conn.execute("VACUUM (ANALYZE)")
    return relations(conn)


def tables(found: Sequence[Relation], sums: Added) -> Iterator[Table]:
    """Octets for a row, and what follows from them."""
    rows = Table("octets a row", "rows", "today, built at once", "today, grown", "sharded, grown")
    for relation in found:
        schemas = (BUILT, GROWN, SHARDED)
        each = (f"{relation.each(schema):.1f}" if schema in relation.octets else "" for schema in schemas)
        rows.add_row(relation.name, f"{relation.rows:,}", *each)
    follows = Table("for sizing.py", "octets")
    for name, octets in asdict(sums).items():
        follows.add_row(name, f"{octets:.1f}")
    yield from (rows, follows)


def main(
    *,
    to: Annotated[int, typer.Option(min=3, max=6, help="At 10^N entries.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Keep the figures here, for sizing.py.")] = None,
) -> None:
    """Measure what sharding adds to the disk."""
    clean_up_on_sigterm()
    entries = 10**to
    with opened(StoreKind.POSTGRES) as engine:
        REPOSITORY.upgrade(engine)
        fill_postgres(engine, entries, 0, 2, lambda _: None)
        with engine.begin() as connection:
            load_the_rest(connection)
        with psycopg.connect(raw_url(engine), autocommit=True) as conn:
            found = measure(conn)
    sums = added(found, entries)
    for table in tables(found, sums):
        Console(width=None if sys.stdout.isatty() else 150).print(table)
    if json_file:
        kept = {
            "kind": "sharded",
            "command": " ".join(["python bench/sharded.py", *sys.argv[1:]]),
            "machine": machine(services("postgres", s3=False)),
            "entries": entries,
            "added": asdict(sums),
            "results": [asdict(relation) for relation in found],
        }
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
