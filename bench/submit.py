"""`xds submit` of many files: how busy it keeps the server, and that a run which was broken off is gone on with.

    python bench/submit.py --store postgres --files 10000 --jobs 4 --json submit.json
    python bench/submit.py --store sqlite --quick

1  the batch    discharge summaries of as many patients are filed by `xds submit`, a process of its own
2  the yardstick    the bench's generator, which costs nearly nothing, sends ITI-41 over as many connections
3  the break    of a second batch, `xds submit` is stopped by Ctrl-C half way, started again, and started once more

Client, server, database and store share the machine. What was sent is counted in the server's log, what is there in the
registry's and the repository's tables; a process's time is that of the kernel's accounts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from cases import Seeded, provide
from discharges import PATIENTS, write_files
from generator import LoadError, Plan, run
from population import AUTHORITY, patient_id
from report import machine
from rich.console import Console
from rich.table import Table
from run import StoreKind
from seed import WITH_10, WITH_100, WRITERS, seed
from sqlalchemy import Connection, Engine, text
from stack import Stack, clean_up_on_sigterm, prepared, running, services

from registry import patients
from xds import app, config, database
from xds.config import Settings
from xds.transactions import Actor

SECONDS = 5.0
"""For the generator, before the batch and after it."""
STEADY = 1.0
"""Seconds without a new entry after which the server has nothing in hand."""
DEFAULTS = """[defaults]
content_type_code = "18842-5^^2.16.840.1.113883.6.1"
class_code = "18842-5^^2.16.840.1.113883.6.1"
format_code = "urn:ihe:iti:xds:2017:mimeTypeSufficient^^1.3.6.1.4.1.19376.1.2.3"
healthcare_facility_type_code = "22232009^^2.16.840.1.113883.6.96"
practice_setting_code = "419192003^^2.16.840.1.113883.6.96"
zone = "Asia/Shanghai"
"""
err = Console(stderr=True, highlight=False, soft_wrap=True)


# --- the command ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """A run of `xds submit`, and what server and machine did meanwhile.

    Attributes:
        code: exit code.
        words: what it said, without a line for each file.
        seconds: from start to end of the process.
        client: its CPU seconds, user and system.
        memory: its largest resident size in octets.
        server: CPU seconds of the server's processes.
        machine: CPU seconds of everything on the machine.
        sent: ITI-41 the server answered.
    """

    code: int
    words: str
    seconds: float
    client: float
    memory: int
    server: float
    machine: float
    sent: int

    def count(self, outcome: str) -> int:
        """Files of an outcome, as it said in the end."""
        match = re.search(rf"(\d+) {outcome}", self.words)
        return int(match[1]) if match else 0


class Submitter:
    """Runs `xds submit` on a directory.

    Args:
        stack: the server.
        settings: file.
        jobs: submissions under way at a time.
    """

    def __init__(self, stack: Stack, settings: Path, jobs: int) -> None:
        self.jobs = jobs
        self._stack = stack
        self._command = [sys.executable, "-m", "xds", "submit", "-c", str(settings), "--jobs", str(jobs)]
        self._log = settings.parent / "submit.log"

    def run(self, directory: Path, stop: Stop | None = None) -> Ended:
        """Run it to its end, or until it is stopped."""
        sent, server, busy, began = self._sent(), self._stack.server.cpu(), _machine(), time.perf_counter()
        with self._log.open("wb") as log:
            process = subprocess.Popen([*self._command, str(directory)], stderr=log, preexec_fn=_hear_interrupts)  # noqa: PLW1509
        if stop:
            stop.wait()
            os.kill(process.pid, signal.SIGINT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if stop:
            stop.settle()
        return Ended(
            process.returncode,
            "\n".join(self._log.read_text().splitlines()[-3:]),
            seconds,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024,
            self._stack.server.cpu() - server,
            _machine() - busy,
            self._sent() - sent,
        )

    def _sent(self) -> int:
        return self._stack.server.log.read_bytes().count(b" ITI-41 repository: ")


def _hear_interrupts() -> None:
    """A shell makes what it runs in the background deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _machine() -> float:
    """CPU seconds of all processors that were not idle."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


# --- what is there ----------------------------------------------------------------------------------------------------

_HASHES = """
SELECT i.hash, count(*) FROM registry_object o JOIN unique_identifier i ON i.object = o.id WHERE o.kind = 1 GROUP BY 1
"""


class Holdings:
    """The actors' tables, read by SQL beside the server."""

    def __init__(self, stack: Stack) -> None:
        self._registry = app.engine(stack.settings, Actor.REGISTRY)
        self._repository = app.engine(stack.settings, Actor.REPOSITORY)

    def entries(self) -> int:
        """DocumentEntries."""
        return _number(self._registry, "SELECT count(*) FROM registry_object WHERE kind = 1")

    def documents(self) -> int:
        """Documents of the repository."""
        return _number(self._repository, "SELECT count(*) FROM document")

    def once(self, files: Sequence[Path]) -> int:
        """How many of these files have exactly one DocumentEntry, told by the octets' SHA-1."""
        counts = {bytes(row[0]): row[1] for row in database.read(self._registry, _rows(_HASHES))}
        return sum(counts.get(hashlib.sha1(path.read_bytes()).digest(), 0) == 1 for path in files)


def _rows(statement: str) -> Callable[[Connection], Sequence[Any]]:
    return lambda conn: conn.execute(text(statement)).all()


def _number(engine: Engine, statement: str) -> int:
    return int(database.read(engine, _rows(statement))[0][0])


@dataclass(frozen=True)
class Stop:
    """When to stop a run.

    Attributes:
        holdings: what is there.
        entries: as soon as there are so many.
    """

    holdings: Holdings
    entries: int

    def wait(self) -> None:
        """Until it is time."""
        while self.holdings.entries() < self.entries:
            time.sleep(0.05)

    def settle(self) -> None:
        """Until the server has come to the end of what it had in hand."""
        before = -1
        while (now := self.holdings.entries()) != before:
            before = now
            time.sleep(STEADY)


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Yardstick:
    """The generator's ITI-41 of documents of the same size, over as many connections.

    Attributes:
        per_second: submissions.
        server: CPU seconds of the server's processes for one of them.
        busy: processors the server's processes took.
    """

    per_second: float
    server: float
    busy: float


def yardstick(stack: Stack, size: int, jobs: int, seconds: float) -> Yardstick:
    """Load the server as the generator does.

    Raises:
        LoadError: it did not answer as it must.
    """
    seeded = Seeded(WRITERS, WITH_10, WITH_100, [], "", [], [])
    before = stack.server.cpu()
    measured = run(stack.targets[0], provide(seeded, "/repository", size), Plan(jobs, seconds))
    cpu, done = stack.server.cpu() - before, len(measured.latencies)
    return Yardstick(done / measured.seconds, cpu / (done + jobs), cpu / measured.seconds)


def settle(path: Path) -> None:
    """Let the settings say what documents do not say of themselves, whose patients they are, and that all is logged."""
    text_ = path.read_text().replace("[defaults]\n", DEFAULTS)
    text_ = text_.replace("[affinity]\n", f'[affinity]\nassigning_authorities = ["{AUTHORITY}"]\n')
    path.write_text(text_.replace("[server]\n", '[server]\nlog_level = "info"\n'))


def add_patients(settings: Settings, count: int) -> None:
    """Make the schemas, and the patients of the generator and of the files known."""
    seed(settings, retrieval=False, huge=0)
    registry = app.local_registry(settings)
    ids = [patient_id(PATIENTS + number) for number in range(count)]
    database.write(registry.engine, lambda conn: patients.add(conn, ids))
    registry.engine.dispose()


@dataclass(frozen=True)
class Found:
    """What was measured.

    Attributes:
        files: in a batch.
        octets: of a file on average.
        jobs: submissions under way at a time.
        before: the generator before the first batch.
        after: and after it.
        batch: the first batch.
        there: entries of the second batch when its first run had ended.
        stopped: this run.
        again: the second run.
        known: the third, which has nothing to send.
        once: files of both batches that have exactly one entry.
        documents: by which the repository grew more than the registry.
    """

    files: int
    octets: int
    jobs: int
    before: Yardstick
    after: Yardstick
    batch: Ended
    there: int
    stopped: Ended
    again: Ended
    known: Ended
    once: int
    documents: int

    @property
    def twice(self) -> int:
        """Files of the second batch that were sent though they had been."""
        return self.stopped.sent + self.again.sent + self.known.sent - self.files

    def problems(self) -> Iterator[str]:
        """What is not as it must be."""
        expected = {"the batch": (self.batch, 0), "the broken off": (self.stopped, 130),
                    "the second": (self.again, 0), "the third": (self.known, 0)}  # fmt: skip
        for name, (ended, code) in expected.items():
            if ended.code != code:
                yield f"{name} run ended with {ended.code}, expected {code}: {ended.words}"
        if self.once != 2 * self.files:
            yield f"{self.once} of {2 * self.files} files have exactly one DocumentEntry"
        if self.twice or self.documents:
            yield f"{self.twice} files were sent twice, the repository has {self.documents} documents too many"


def measure(kind: StoreKind, files: int, jobs: int, workers: int, seconds: float) -> Found:
    """Do all of it on one store.

    Raises:
        LoadError: the generator was not answered as it must be.
    """
    with prepared(kind) as path:
        settle(path)
        err.print(f"{kind}: writing {2 * files:,} documents, and making their patients known")
        first = write_files(path.parent / "first", 0, files)
        second = write_files(path.parent / "second", files, files)
        add_patients(config.load(path), 2 * files)
        with running(kind, path, workers) as stack:
            return _measure(stack, Submitter(stack, path, jobs), (first, second), seconds)


def _measure(stack: Stack, command: Submitter, batches: tuple[list[Path], list[Path]], seconds: float) -> Found:
    holdings = Holdings(stack)
    first, second = batches
    octets = sum(file.stat().st_size for file in first) // len(first)
    surplus = holdings.documents() - holdings.entries()
    err.print("the generator, a batch, the generator")
    before = yardstick(stack, octets, command.jobs, seconds)
    batch = command.run(first[0].parent)
    after = yardstick(stack, octets, command.jobs, seconds)
    err.print("another batch, stopped half way, started again, and once more")
    entries = holdings.entries()
    stopped = command.run(second[0].parent, Stop(holdings, entries + len(second) // 2))
    there = holdings.entries() - entries
    again = command.run(second[0].parent)
    known = command.run(second[0].parent)
    once = holdings.once([*first, *second])
    surplus = holdings.documents() - holdings.entries() - surplus
    return Found(
        len(first), octets, command.jobs, before, after, batch, there, stopped, again, known, once, surplus
    )  # fmt: skip


# --- what is said -----------------------------------------------------------------------------------------------------


def rows(found: Found) -> list[tuple[str, str]]:
    """For people."""
    files, rate = found.files, found.files / found.batch.seconds
    yardstick_rate = (found.before.per_second + found.after.per_second) / 2
    again, known = found.again, found.known
    return [
        ("documents", f"{files:,} CDA of {found.octets / 1000:.1f} KB, each of another patient"),
        ("submissions under way at a time", f"{found.jobs}"),
        ("`xds submit`, files a second", f"{rate:.0f} ({found.batch.seconds:.1f} s from start to end of the process)"),
        ("the generator, over as many connections", f"{yardstick_rate:.0f} a second"),
        ("`xds submit` by the generator", f"{rate / yardstick_rate:.2f}"),
        *_processors(found),
        ("client's memory at most", f"{found.batch.memory / 1e6:.0f} MB"),
        ("another batch, stopped by Ctrl-C", f"{found.there:,} registered, exit code {found.stopped.code}"),
        (
            "started again",
            f"{again.sent:,} sent, {again.count('already in'):,} recognised, in {again.seconds:.1f} s",
        ),
        ("sent twice", f"{found.twice}"),
        (
            "started once more",
            f"{known.count('already in'):,} recognised in {known.seconds:.1f} s, {files / known.seconds:.0f} a second",
        ),
        ("registered exactly once", f"{found.once:,} of {2 * files:,}"),
    ]


def _processors(found: Found) -> Iterator[tuple[str, str]]:
    batch, turns = found.batch, (found.before, found.after)
    busy, server = (sum(getattr(turn, name) for turn in turns) / len(turns) for name in ("busy", "server"))
    shares = [f"{name} {cpu / batch.seconds:.2f}" for name, cpu in (("server", batch.server), ("client", batch.client))]
    everything = f"all that runs {batch.machine / batch.seconds:.2f} of {os.cpu_count()}"
    yield "processors busy", f"{', '.join(shares)}, {everything}; with the generator the server {busy:.2f}"
    costs = [
        f"{name} {1000 * cpu / found.files:.2f} ms"
        for name, cpu in (("server", batch.server), ("client", batch.client))
    ]
    yield "CPU for a file", f"{', '.join(costs)}; with the generator the server {1000 * server:.2f} ms"


def main(
    *,
    store: Annotated[StoreKind, typer.Option(help="Where.")] = StoreKind.SQLITE,
    files: Annotated[int, typer.Option(min=100, help="In each of the two batches.")] = 10_000,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Submissions under way at a time.")] = 4,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes of the server.")] = 2,
    quick: Annotated[bool, typer.Option(help="600 files, a second for the generator.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Keep the figures here.")] = None,
) -> None:
    """Measure `xds submit` of many files."""
    clean_up_on_sigterm()
    try:
        found = measure(store, 600 if quick else files, jobs, workers, 1.0 if quick else SECONDS)
    except LoadError as error:
        err.print(f"the generator: {error}")
        raise typer.Exit(1) from None
    table = Table(f"xds submit, {store}", "")
    for row in rows(found):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    if json_file:
        command = shlex.join(["python", "bench/submit.py", *sys.argv[1:]])
        kept = {"kind": "submit", "store": store, "command": command, "machine": machine(services(store)),
                "results": asdict(found), "rows": rows(found)}  # fmt: skip
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    if problems := list(found.problems()):
        err.print("\n".join(problems))
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
