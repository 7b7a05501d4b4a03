"""Growth: fill a registry to 10^4, 10^5 ... entries; at each size measure queries, registration, disk, and keep plans.

    python bench/grow.py --store postgres --to 7 --json growth.json --plans plans/
    python bench/grow.py --store sqlite --to 6

PostgreSQL is that of XDS_TEST_POSTGRES, or one that tools/services.sh starts; a database of our own is made in it and
dropped in the end. The program stops when the disk would have less than 10 GB free, and says how far it came.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from bulk import DiskFull, fill_postgres, fill_sqlite
from probes import Prober, probes, sample
from report import WIDE, bold, machine, octets, sizes, times, times_heads
from rich.console import Console
from rich.table import Table
from run import StoreKind
from sqlalchemy import Engine, text
from stack import clean_up_on_sigterm, environment, fresh_database, services

from registry.migrations import SCHEMA
from xds import database

err = Console(stderr=True)
_KINDS = {1: "DocumentEntry", 2: "SubmissionSet", 3: "Folder", 4: "Association"}
_RELATIONS = """
SELECT c.relname, pg_relation_size(c.oid) + CASE WHEN c.relkind = 'r'
  THEN pg_relation_size(c.oid, 'fsm') + pg_relation_size(c.oid, 'vm')
    + coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0)
  ELSE 0 END
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i') ORDER BY 2 DESC
"""


_WARM = """
SELECT pg_prewarm(c.oid) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'i'
"""


@dataclass(frozen=True)
class Settings:
    """How it is done.

    Attributes:
        sizes: numbers of entries, rising.
        processes: that make rows.
        runs: of each probe, at most.
        seconds: for each probe, at most.
        plans: directory for query plans.
    """

    sizes: list[int]
    processes: int
    runs: int
    seconds: float
    plans: Path | None


@contextmanager
def opened(kind: StoreKind) -> Iterator[Engine]:
    """A fresh registry database with the migrations' schema."""
    if kind is StoreKind.POSTGRES:
        with fresh_database(environment()["XDS_TEST_POSTGRES"]) as url:
            engine = database.engine(url)
            SCHEMA.upgrade(engine)
            yield engine
            engine.dispose()
        return
    with tempfile.TemporaryDirectory(prefix="xds-grow-") as directory:
        engine = database.engine(f"sqlite:///{directory}/registry.db")
        SCHEMA.upgrade(engine)
        yield engine
        engine.dispose()


def relations(engine: Engine) -> dict[str, int]:
    """Octets of every table and index, the largest first."""
    with engine.connect() as conn:
        if engine.dialect.name == "postgresql":
            rows = conn.execute(text(_RELATIONS))
        else:
            rows = conn.execute(text("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"))
        return {name: int(size) for name, size in rows if size}


def contents(engine: Engine) -> dict[str, dict[str, float]]:
    """Rows of each kind, and the average octets of their bodies, from a part of the table."""
    part = "TABLESAMPLE SYSTEM (10)" if engine.dialect.name == "postgresql" else ""
    some = f"SELECT kind, body FROM registry_object {part} LIMIT 200000"
    with engine.connect() as conn:
        rows = conn.execute(text(f"SELECT kind, count(*), avg(length(body)) FROM ({some}) s GROUP BY kind"))
        return {_KINDS[kind]: {"rows": count, "body": float(body)} for kind, count, body in rows}


def measure(engine: Engine, entries: int, chosen: Settings) -> dict[str, Any]:
    """Everything at one size, with the indexes in memory, as they are after some days of use."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as conn:
            conn.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
            conn.exec_driver_sql(_WARM)
            conn.commit()
    found = sample(engine, entries)
    prober = Prober(engine, chosen.runs, chosen.seconds)
    timings = {}
    for name, make, transaction in probes(found):
        err.print(f"  {name}", highlight=False)
        timings[name] = asdict(prober.time(make, transaction))
        if chosen.plans:
            chosen.plans.mkdir(parents=True, exist_ok=True)
            file = f"{engine.dialect.name}-{entries}-{name.replace(', ', '-').replace(' ', '-')}.txt"
            (chosen.plans / file).write_text(prober.plan(make, transaction) + "\n")
    timings["ITI-42, 1 entry"] = asdict(prober.time_registration(found.ten))
    timings["SELECT 1"] = asdict(prober.time_nothing())
    return {"entries": entries, "timings": timings, "sample": found.sizes()}


def grow(kind: StoreKind, chosen: Settings) -> Iterator[dict[str, Any]]:
    """Fill and measure, a result for each size.

    Raises:
        DiskFull: the next size does not fit.
    """
    with opened(kind) as engine:
        before = 0
        for entries in chosen.sizes:
            err.print(f"{kind}: {entries:,} entries", highlight=False)
            fill = fill_postgres if kind is StoreKind.POSTGRES else fill_sqlite
            taken = fill(engine, entries - before, before, chosen.processes, _say)
            size = {"relations": relations(engine), "contents": contents(engine), "load": (entries - before) / taken}
            yield measure(engine, entries, chosen) | size
            before = entries


def _say(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    if sys.stderr.isatty() or " of " not in text:
        err.print(f"  {text:<78}", end=end, highlight=False)


def print_tables(results: list[dict[str, Any]], console: Console) -> None:
    """Milliseconds of each probe, and octets for an entry, a column for each size."""
    spent, space = Table("median ms", *times_heads(results)), Table("octets for an entry", *sizes(results))
    for table, rows in ((spent, times(results, bold)), (space, octets(results))):
        for row in rows:
            table.add_row(*row)
        for column in table.columns[1:]:
            column.justify = "right"
        console.print(table)


def main(
    *,
    store: Annotated[StoreKind, typer.Option(help="Where.")] = StoreKind.POSTGRES,
    to: Annotated[int, typer.Option(min=3, max=8, help="Up to 10^N entries.")] = 5,
    processes: Annotated[int, typer.Option(min=1, help="That make rows.")] = 2,
    runs: Annotated[int, typer.Option(min=10, help="Of each probe, at most.")] = 300,
    seconds: Annotated[float, typer.Option(help="For each probe, at most.")] = 2.0,
    quick: Annotated[bool, typer.Option(help="10^3 and 10^4 entries, 50 runs.")] = False,
    plans: Annotated[Path | None, typer.Option(help="Directory for the query plans.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Keep the figures here.")] = None,
) -> None:
    """Fill a registry and measure it at each power of ten."""
    clean_up_on_sigterm()
    powers = [10**3, 10**4] if quick else [10**power for power in range(min(4, to), to + 1)]
    about = machine(services(store, s3=False))
    results: list[dict[str, Any]] = []
    command = shlex.join(["python", "bench/grow.py", *sys.argv[1:]])
    try:
        chosen = Settings(powers, processes, 50 if quick else runs, 0.3 if quick else seconds, plans)
        results.extend(grow(store, chosen))
    except DiskFull as error:
        err.print(f"stopped: {error}", highlight=False)
    if not results:
        raise typer.Exit(1)
    print_tables(results, Console(width=None if sys.stdout.isatty() else WIDE))
    if json_file:
        kept = {"kind": "growth", "store": store, "command": command, "machine": about, "results": results}
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
