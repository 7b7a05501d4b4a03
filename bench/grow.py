"""Growth: registries of 10^4, 10^5 ... entries side by side; of each the queries, registration, disk, and plans.

    python bench/grow.py --store postgres --to 7 --json growth.json --plans plans/
    python bench/grow.py --store sqlite --to 6

Each probe is timed on all of them in turn, and that five times, before the next one begins, so that what else the
machine does meets all sizes alike. PostgreSQL is that of XDS_TEST_POSTGRES, or one that tools/services.sh starts;
databases of our own are made in it and dropped in the end. The program goes no further when the disk would have less
than 10 GB free, and says how far it came.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from bulk import DiskFull, fill_postgres, fill_sqlite
from probes import Prober, Round, Timing, probes, sample
from report import WIDE, bold, machine, octets, sizes, times, times_heads
from rich.console import Console
from rich.table import Table
from run import StoreKind
from sqlalchemy import Engine, text
from stack import clean_up_on_sigterm, environment, fresh_database, services

from registry.migrations import SCHEMA
from xds import database

err = Console(stderr=True)
REGISTRATION, NOTHING = "ITI-42, 1 entry", "SELECT 1"
ROUNDS = 5
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


class Grown:
    """A registry of one size, and what was found of it.

    Args:
        engine: a fresh registry's.
        entries: how many it is filled with.
        chosen: how.

    Raises:
        DiskFull: they do not fit.
    """

    def __init__(self, engine: Engine, entries: int, chosen: Settings) -> None:
        self._engine, self._entries = engine, entries
        err.print(f"{engine.dialect.name}: {entries:,} entries", highlight=False)
        fill = fill_postgres if engine.dialect.name == "postgresql" else fill_sqlite
        self._load = entries / fill(engine, entries, 0, chosen.processes, _say)
        self._relations, self._contents = relations(engine), contents(engine)
        self._sample = sample(engine, entries)
        self._prober = Prober(engine, chosen.runs, chosen.seconds, ROUNDS)
        self._probes = {name: (make, transaction) for name, make, transaction in probes(self._sample)}
        self._timings: dict[str, list[Round]] = {}

    def warm(self) -> None:
        """Bring the indexes into memory, where they are after some days of use."""
        if self._engine.dialect.name == "postgresql":
            with self._engine.connect() as conn:
                conn.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
                conn.exec_driver_sql(_WARM)
                conn.commit()

    def keep_apart(self) -> None:
        """Give this process and PostgreSQL's a processor each.

        The scheduler has them on one at some moments, on two at others, and a short query then takes half as long
        again. A PostgreSQL on another machine has processors of its own.
        """
        others = sorted(os.sched_getaffinity(0))[1:]
        if self._engine.dialect.name == "postgresql" and others:
            with self._engine.connect() as conn, suppress(OSError):
                process = conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
                if Path(f"/proc/{process}/comm").read_text().startswith("postgres"):
                    os.sched_setaffinity(process, others)

    @property
    def probes(self) -> list[str]:
        """What it can be asked."""
        return [*self._probes, REGISTRATION, NOTHING]

    def rounds(self, name: str) -> Iterator[None]:
        """Time a probe, a round at a time."""
        prober = self._prober
        if name == REGISTRATION:
            work = prober.registration(self._sample.ten)
        else:
            work = prober.nothing if name == NOTHING else prober.query(*self._probes[name])
        rounds = self._timings[name] = []
        for taken in prober.rounds(work):
            rounds.append(taken)
            yield

    def keep_plans(self, plans: Path) -> None:
        """How the database answers each probe, a file each."""
        plans.mkdir(parents=True, exist_ok=True)
        for name, probe in self._probes.items():
            file = f"{self._engine.dialect.name}-{self._entries}-{name.replace(', ', '-').replace(' ', '-')}.txt"
            (plans / file).write_text(self._prober.plan(*probe) + "\n")

    def result(self) -> dict[str, Any]:
        """Everything."""
        return {
            "entries": self._entries,
            "timings": {name: asdict(Timing.of(rounds)) for name, rounds in self._timings.items()},
            "sample": self._sample.sizes(),
            "relations": self._relations,
            "contents": self._contents,
            "load": self._load,
        }


def grow(kind: StoreKind, chosen: Settings) -> list[dict[str, Any]]:
    """Fill registries and measure them, a result for each size that fits."""
    grown: list[Grown] = []
    with ExitStack() as stack:
        try:
            grown.extend(Grown(stack.enter_context(opened(kind)), entries, chosen) for entries in chosen.sizes)
        except DiskFull as error:
            err.print(f"stopped: {error}", highlight=False)
        for each in grown:
            each.warm()
            each.keep_apart()
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        for name in dict.fromkeys(name for each in grown for name in each.probes):
            err.print(f"  {name}", highlight=False)
            for _ in zip(*(each.rounds(name) for each in grown if name in each.probes), strict=True):
                pass  # a round on each
        if chosen.plans:
            for each in grown:
                each.keep_plans(chosen.plans)
        return [each.result() for each in grown]


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
    """Fill registries of each power of ten and measure them."""
    clean_up_on_sigterm()
    powers = [10**3, 10**4] if quick else [10**power for power in range(min(4, to), to + 1)]
    about = machine(services(store, s3=False))
    command = shlex.join(["python", "bench/grow.py", *sys.argv[1:]])
    results = grow(store, Settings(powers, processes, 50 if quick else runs, 0.3 if quick else seconds, plans))
    if not results:
        raise typer.Exit(1)
    print_tables(results, Console(width=None if sys.stdout.isatty() else WIDE))
    if json_file:
        kept = {"kind": "growth", "store": store, "command": command, "machine": about, "results": results}
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
