"""What each index costs and saves: octets for an entry, microseconds for an inserted row, milliseconds of a query.

    python bench/indexes.py --to 5 --json indexes.json

On PostgreSQL, which can drop an index within a transaction and have it back by rolling back: what the index costs is
the difference of two inserts of the same rows, with it and without it, in turn; what it saves is how long the query
that needs it takes without it.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from bulk import fill_postgres
from grow import opened, relations
from probes import Prober, Sample, by_code, probes, sample
from report import machine
from rich.console import Console
from rich.table import Table
from run import StoreKind
from sqlalchemy import Connection, Engine
from stack import clean_up_on_sigterm

from xds.metadata.affinity import CodeType
from xds.transactions import ITI_51

err = Console(stderr=True)
ROWS = 20_000
ROUNDS = 5


@dataclass(frozen=True)
class Index:
    """An index, and who needs it.

    Attributes:
        name: of the index, or of the constraint that it stands for.
        table: its table.
        probe: a query that needs it.
        is_key: it is a primary key.
    """

    name: str
    table: str
    probe: str
    is_key: bool = False

    @property
    def drop(self) -> str:
        """The statement that drops it."""
        if self.is_key:
            return f"ALTER TABLE {self.table} DROP CONSTRAINT {self.name}"
        return f"DROP INDEX {self.name}"


INDEXES = (
    Index("ix_registry_object_patient_kind", "registry_object", "FindDocuments, 10 in full"),
    Index("ix_registry_object_source", "registry_object", "GetSubmissionSetAndContents"),
    Index("ix_registry_object_target", "registry_object", "GetAssociations"),
    Index("ix_registry_object_class_code", "registry_object", "ITI-51, classCode"),
    Index("ix_registry_object_healthcare_facility_type_code", "registry_object", "ITI-51, facility"),
    Index("pk_registry_object", "registry_object", "GetDocuments, entryUUID", is_key=True),
    Index("pk_object_code", "object_code", "ITI-51, rare eventCode", is_key=True),
    Index("pk_unique_identifier", "unique_identifier", "GetDocuments, uniqueId", is_key=True),
)

# Copies of rows of all kinds and patients, with UUIDs in order of time as the registry draws them.
_NEW = "('0fff0000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"
_CHANGED = {
    "registry_object": {
        "id": _NEW.format(number="number"),
        "lid": _NEW.format(number="number"),
        "source": f"CASE WHEN source IS NULL THEN NULL ELSE {_NEW.format(number='number - 1')} END",
        "target": f"CASE WHEN target IS NULL THEN NULL ELSE {_NEW.format(number='number - 2')} END",
    },
    "object_code": {"object": _NEW.format(number="number")},
    "unique_identifier": {"value": "'2.25.9' || (random() * 1e37)::numeric(38)::text || number"},
}


@dataclass(frozen=True)
class Finding:
    """What an index costs and saves.

    Attributes:
        index: its name.
        octets: for an entry.
        insert: microseconds for a row of its table.
        probe: the query.
        with_it: milliseconds in the database.
        without_it: the same.
    """

    index: str
    octets: float
    insert: float
    probe: str
    with_it: float
    without_it: float


@contextmanager
def undone(engine: Engine) -> Iterator[Connection]:
    """A transaction that is rolled back."""
    with engine.connect() as connection:
        try:
            yield connection
        finally:
            connection.rollback()


def insert_seconds(engine: Engine, index: Index, *, with_it: bool) -> float:
    """How long an insert of `ROWS` rows takes."""
    with undone(engine) as connection:
        if not with_it:
            connection.exec_driver_sql(index.drop)
        names = [name for (name,) in connection.exec_driver_sql(
            f"SELECT attname FROM pg_attribute WHERE attrelid = '{index.table}'::regclass AND attnum > 0"
        )]  # fmt: skip
        columns = ", ".join(f"{_CHANGED[index.table].get(name, name)} AS {name}" for name in names)
        some = f"SELECT *, row_number() OVER () + 2 AS number FROM {index.table} LIMIT {ROWS}"
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS SELECT {columns} FROM ({some}) s")
        begun = time.perf_counter()
        connection.exec_driver_sql(f"INSERT INTO {index.table} SELECT * FROM fresh")
        return time.perf_counter() - begun


def query_seconds(engine: Engine, index: Index, statement: tuple[str, tuple[Any, ...]], *, with_it: bool) -> float:
    """How long the database takes for a query, at best."""
    with undone(engine) as connection:
        if not with_it:
            connection.exec_driver_sql(index.drop)
        text, parameters = statement
        found = []
        for _ in range(3):
            lines = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN (ANALYZE) {text}", parameters)]
            found.append(float(re.findall(r"Execution Time: ([\d.]+)", lines[-1])[0]))
        return min(found) / 1000


def look_at(engine: Engine, index: Index, octets: float, found: Sample) -> Finding:
    """Measure one index, which takes so many octets for an entry."""
    err.print(index.name, highlight=False)
    asked = {name: (make, transaction) for name, make, transaction in probes(found)}
    asked["ITI-51, classCode"] = (by_code("$XDSDocumentEntryClassCode", CodeType.CLASS_CODE), ITI_51.number)
    facility = by_code("$XDSDocumentEntryHealthcareFacilityTypeCode", CodeType.HEALTHCARE_FACILITY_TYPE_CODE)
    asked["ITI-51, facility"] = (facility, ITI_51.number)
    statement = Prober(engine, 10, 1.0).statement(*asked[index.probe])
    cost = statistics.median(
        insert_seconds(engine, index, with_it=True) - insert_seconds(engine, index, with_it=False)
        for _ in range(ROUNDS)
    )
    return Finding(
        index.name,
        octets,
        max(cost, 0.0) / ROWS * 1e6,
        index.probe,
        query_seconds(engine, index, statement, with_it=True) * 1000,
        query_seconds(engine, index, statement, with_it=False) * 1000,
    )


def main(
    *,
    to: Annotated[int, typer.Option(min=3, max=7, help="At 10^N entries.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Keep the figures here.")] = None,
) -> None:
    """Measure what each index costs and saves."""
    clean_up_on_sigterm()
    command = " ".join(["python bench/indexes.py", *sys.argv[1:]])
    entries = 10**to
    with opened(StoreKind.POSTGRES) as engine:
        fill_postgres(engine, entries, 0, 2, lambda _: None)
        found = sample(engine, entries)
        sizes = relations(engine)  # before rows are inserted and undone
        findings = [look_at(engine, index, sizes[index.name] / entries, found) for index in INDEXES]
    table = Table("index", "octets an entry", "us a row", "query", "ms with", "ms without")
    for finding in findings:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3g}" for value in asdict(finding).values()))
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    if json_file:
        kept = {
            "kind": "indexes",
            "command": command,
            "machine": machine(),
            "entries": entries,
            "results": [asdict(finding) for finding in findings],
        }
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
