"""What each index costs and saves: octets for an entry, microseconds for an inserted row, milliseconds of a query.

    python bench/indexes.py --to 5 --json indexes.json
    python bench/indexes.py --store sqlite --to 6

Every index and key of both actors' models has a row in `INDEXES`, or the program refuses to start. An index is dropped
within a transaction that is rolled back. What it costs is the difference of two inserts of the same rows, with it and
without it, in turn, in CPU time of the process that inserts: the median of the rounds, and the quartiles. What it saves
is how long the query that needs it takes without it.

SQLite cannot drop a key, so a copy of the table without it stands in for the table. Its octets are then what the table
with the key is larger by: a key that is an INTEGER is the table's own order there and takes less than nothing, and the
tables WITHOUT ROWID have their key for their order. Waiting for the disk at commit is in no figure: SQLite then writes
a page or more of each index touched, PostgreSQL a record of its journal.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from bulk import fill_postgres, fill_sqlite
from grow import opened, relations
from index_rows import BARE, FRESH, KEPT, ROWS, SPOKEN, bare, insert_fresh, load_the_rest, make_fresh
from probes import Prober, by_code, probes, sample
from report import machine
from rich.console import Console
from rich.table import Table as Shown
from run import StoreKind
from sqlalchemy import Connection, Engine, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint
from stack import clean_up_on_sigterm, services

from registry import models as registry
from repository import models as repository
from repository.migrations import SCHEMA as REPOSITORY
from xds import database
from xds.metadata.affinity import CodeType
from xds.transactions import ITI_51

err = Console(stderr=True)
ROUNDS = 9
_SLOW = 1.0  # seconds after which a query is not asked again
NOBODY = "none reads by it"
Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Index:
    """An index, and who needs it.

    Attributes:
        name: of the index, or of the constraint that it stands for.
        table: its table.
        probe: a query that needs it.
    """

    name: str
    table: Table
    probe: str

    @property
    def is_key(self) -> bool:
        """Whether a constraint made it."""
        return self.name not in {index.name for index in self.table.indexes}

    def references(self) -> Iterator[str]:
        """The statements that drop the foreign keys of and to its table: these are measured on neither side."""
        for table in self.table.metadata.tables.values():
            for reference in table.foreign_key_constraints:
                if self.table in {table, reference.referred_table}:
                    yield f"ALTER TABLE {table.name} DROP CONSTRAINT {reference.name}"

    def without(self, dialect: str) -> Iterator[str]:
        """The statements that take it away; of SQLite's keys, see `index_rows.bare`."""
        if not self.is_key:
            yield f"DROP INDEX {self.name}"
        elif dialect == "postgresql":
            yield f"ALTER TABLE {self.table.name} DROP CONSTRAINT {self.name}"
        else:
            yield f"ALTER TABLE {self.table.name} RENAME TO {KEPT}"
            yield f"ALTER TABLE {BARE} RENAME TO {self.table.name}"


_OBJECT = registry.registry_object
INDEXES = (
    Index("pk_patient", registry.patient, "an object's foreign key"),
    Index("uq_patient_value", registry.patient, "FindDocuments, 10 refs"),
    Index("pk_code", registry.code, NOBODY),
    Index("uq_code_attribute_value", registry.code, "a code's number, once in a process"),
    Index("pk_registry_object", _OBJECT, "GetDocuments, entryUUID"),
    Index("ix_registry_object_patient_kind", _OBJECT, "FindDocuments, 10 in full"),
    Index("ix_registry_object_source", _OBJECT, "GetSubmissionSetAndContents"),
    Index("ix_registry_object_target", _OBJECT, "GetAssociations"),
    Index("ix_registry_object_class_code", _OBJECT, "ITI-51, classCode"),
    Index("ix_registry_object_healthcare_facility_type_code", _OBJECT, "ITI-51, facility"),
    Index("pk_object_code", registry.object_code, "ITI-51, rare eventCode"),
    Index("pk_unique_identifier", registry.unique_identifier, "GetDocuments, uniqueId"),
    Index("pk_submitted_part", registry.submitted_part, "ITI-42, UUIDs of parts"),
    Index("pk_document", repository.document, "ITI-43"),
)

# What is asked outside of stored queries, and where its values are found.
_ASKED = {
    "an object's foreign key": ("SELECT 1 FROM patient WHERE id = ?", "SELECT id FROM patient"),
    "a code's number, once in a process": (
        "SELECT id FROM code WHERE attribute = ? AND value = ?",
        "SELECT attribute, value FROM code",
    ),
    "ITI-42, UUIDs of parts": ("SELECT id FROM submitted_part WHERE id = ?", "SELECT id FROM submitted_part"),
    "ITI-43": ("SELECT key, hash, size, mime_type FROM document WHERE unique_id = ?", "SELECT unique_id FROM document"),
}


@dataclass(frozen=True)
class Finding:
    """What an index costs and saves; what was not measured is None.

    Attributes:
        index: its name.
        octets: for an entry.
        insert: microseconds for a row of its table, the median of the rounds.
        insert_low: a quarter of the rounds gave less.
        insert_high: a quarter of the rounds gave more.
        probe: the query.
        with_it: milliseconds in the database.
        without_it: the same.
    """

    index: str
    octets: float
    insert: float
    insert_low: float
    insert_high: float
    probe: str
    with_it: float | None
    without_it: float | None


def named(tables: Iterable[MetaData]) -> dict[str, Table]:
    """Every index that models ask for, by its own name or that of its constraint, with its table."""
    found: dict[str, Table] = {}
    for table in (table for metadata in tables for table in metadata.tables.values()):
        keys = [each.name for each in table.constraints if isinstance(each, PrimaryKeyConstraint | UniqueConstraint)]
        found |= {str(name): table for name in (*keys, *(index.name for index in table.indexes))}
    return found


def check_complete() -> None:
    """Compare `INDEXES` with the models.

    Raises:
        LookupError: an index of one is not in the other.
    """
    models = named((registry.tables, repository.tables))
    ours = {index.name: index.table for index in INDEXES}
    if models != ours:
        differ = sorted(name for name in models | ours if models.get(name) is not ours.get(name))
        raise LookupError(f"INDEXES and the models differ in {', '.join(differ)}")


@contextmanager
def undone(engine: Engine, index: Index, *, with_it: bool) -> Iterator[Connection]:
    """A transaction that is rolled back, in which an index may be missing."""
    dialect = engine.dialect.name
    with engine.connect() as connection:
        try:
            references = index.references() if dialect == "postgresql" else ()
            for statement in (*references, *(() if with_it else index.without(dialect))):
                connection.exec_driver_sql(statement)
            yield connection
        finally:
            connection.rollback()


def cpu_clock(connection: Connection) -> Callable[[], float]:
    """CPU seconds of the process that inserts: this one, or PostgreSQL's; of a PostgreSQL elsewhere, plain time."""
    if connection.dialect.name == "sqlite":
        return time.process_time
    server = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    schedule = Path(f"/proc/{server}/schedstat")
    if not schedule.exists():
        return time.perf_counter
    return lambda: int(schedule.read_text().split()[0]) / 1e9


def insert_seconds(engine: Engine, index: Index, *, with_it: bool) -> float:
    """How long an insert of `ROWS` rows takes, in CPU time."""
    with undone(engine, index, with_it=with_it) as connection:
        clock = cpu_clock(connection)
        begun = clock()
        insert_fresh(connection, index.table)
        taken = clock() - begun
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(alone=True) as connection:  # VACUUM wants no transaction around it
            connection.exec_driver_sql(f"VACUUM {index.table.name}")  # else the rows undone are in the next one's way
    return taken


def insert_costs(engine: Engine, index: Index) -> list[float]:
    """Microseconds for a row, of each round; first one and then the other comes first."""
    with engine.begin() as connection:
        make_fresh(connection, index.table)
    costs = []
    for number in range(ROUNDS + 1):
        first = number % 2 == 0
        taken = {with_it: insert_seconds(engine, index, with_it=with_it) for with_it in (first, not first)}
        costs.append((taken[True] - taken[False]) / ROWS * 1e6)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {FRESH}")
    return costs[1:]  # the first has met cold pages


def query_seconds(engine: Engine, index: Index, statement: Statement, *, with_it: bool) -> float:
    """How long the database takes for a query, at best of three."""
    with undone(engine, index, with_it=with_it) as connection:
        best = _asked_once(connection, *statement)
        for _ in range(2):
            if best < _SLOW:
                best = min(best, _asked_once(connection, *statement))
        return best


def _asked_once(connection: Connection, text: str, parameters: tuple[Any, ...]) -> float:
    if connection.dialect.name == "sqlite":
        begun = time.perf_counter()
        database.rows(connection, text, parameters)
        return time.perf_counter() - begun
    lines = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN (ANALYZE) {text}", parameters)]
    return float(re.findall(r"Execution Time: ([\d.]+)", lines[-1])[0]) / 1000


def statements(engine: Engine, entries: int) -> dict[str, Statement]:
    """The query of each index, as the database is sent it."""
    asked = {name: (make, transaction) for name, make, transaction in probes(sample(engine, entries))}
    asked["ITI-51, classCode"] = (by_code("$XDSDocumentEntryClassCode", CodeType.CLASS_CODE), ITI_51.number)
    facility = by_code("$XDSDocumentEntryHealthcareFacilityTypeCode", CodeType.HEALTHCARE_FACILITY_TYPE_CODE)
    asked["ITI-51, facility"] = (facility, ITI_51.number)
    prober = Prober(engine, 10, 1.0)
    needed = [index.probe for index in INDEXES if index.probe not in _ASKED and index.probe != NOBODY]
    found = {name: prober.statement(*asked[name]) for name in needed}
    with engine.connect() as connection:
        for name, (text, values) in _ASKED.items():
            row = connection.exec_driver_sql(f"{values} LIMIT 1").one()
            found[name] = (text.replace("?", SPOKEN[engine.dialect.name]["mark"]), tuple(row))
    return found


def look_at(engine: Engine, index: Index, octets: float, statement: Statement | None) -> Finding:
    """Measure one index, which takes so many octets for an entry."""
    err.print(index.name, highlight=False)
    costs = insert_costs(engine, index)
    low, middle, high = statistics.quantiles(costs, n=4, method="inclusive")
    times = (
        [query_seconds(engine, index, statement, with_it=with_it) * 1000 for with_it in (True, False)]
        if statement
        else [None, None]
    )
    return Finding(index.name, octets, middle, low, high, index.probe, times[0], times[1])


def measure(engine: Engine, entries: int) -> Iterator[Finding]:
    """Measure every index."""
    with engine.begin() as connection:
        load_the_rest(connection)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(alone=True) as connection:
            connection.exec_driver_sql("VACUUM (ANALYZE)")
    asked, sizes = statements(engine, entries), relations(engine)  # before rows are inserted and undone
    for index in INDEXES:
        statement = asked.get(index.probe)
        if index.is_key and engine.dialect.name == "sqlite":
            with bare(engine, index.table, index.name) as octets:
                yield look_at(engine, index, octets / entries, statement)
        else:
            yield look_at(engine, index, sizes[index.name] / entries, statement)


def cells(finding: Finding) -> Iterator[str]:
    """A finding as a row of the table."""
    yield finding.index
    yield f"{finding.octets:.3g}"
    yield f"{finding.insert:.2f} ({finding.insert_low:.2f} to {finding.insert_high:.2f})"
    yield finding.probe
    for value in (finding.with_it, finding.without_it):
        yield "" if value is None else f"{value:.3g}"


def kept(store: StoreKind, entries: int, findings: Iterable[Finding]) -> Mapping[str, Any]:
    """What the JSON holds."""
    return {
        "kind": "indexes",
        "store": store,
        "command": " ".join(["python bench/indexes.py", *sys.argv[1:]]),
        "machine": machine(services(store, s3=False)),
        "entries": entries,
        "results": [asdict(finding) for finding in findings],
    }


def main(
    *,
    store: Annotated[StoreKind, typer.Option(help="Where.")] = StoreKind.POSTGRES,
    to: Annotated[int, typer.Option(min=3, max=6, help="At 10^N entries.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Keep the figures here.")] = None,
) -> None:
    """Measure what each index costs and saves."""
    check_complete()
    clean_up_on_sigterm()
    entries = 10**to
    fill = fill_postgres if store is StoreKind.POSTGRES else fill_sqlite
    with opened(store) as engine:
        REPOSITORY.upgrade(engine)
        fill(engine, entries, 0, 2, lambda _: None)
        findings = list(measure(engine, entries))
    table = Shown("index", "octets an entry", "us a row", "query", "ms with", "ms without")
    for finding in findings:
        table.add_row(*cells(finding))
    Console(width=None if sys.stdout.isatty() else 170).print(table)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(kept(store, entries, findings), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
