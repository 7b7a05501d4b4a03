"""What was measured, as text: the table for the terminal and for docs/performance.md, and the JSON between the two."""

from __future__ import annotations

import math
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

TARGETS = {
    "ITI-42, 1 entry": 0.6,
    "ITI-42, 10 entries": 0.6,
    "ITI-18, FindDocuments, 10 in full": 0.6,
    "ITI-18, FindDocuments, 10 refs": 0.6,
    "ITI-18, FindDocuments, 100 in full": 0.8,
    "ITI-18, FindDocuments, 100 refs": 0.8,
    "ITI-41, 10 KB CDA": 0.6,
    "ITI-41, 10 x 10 KB CDA": 0.6,
    "ITI-41, 1 GB": 0.7,
    "ITI-43, 1 GB": 0.7,
}
"""Least ratio of our throughput to the floor's."""
GROWTH_TARGET = 1.3
"""Most that a median may grow from the smallest registry to the largest."""
ABSENT = "\N{EN DASH}"
"""Stands where nothing was measured."""
Mark = Callable[[str], str]
"""Makes a figure that misses its target stand out."""
_LEAST = 100  # requests below which the slowest hundredth is no figure


@dataclass(frozen=True)
class Cell:
    """The figures of one side of a row.

    Attributes:
        requests: how many were timed.
        per_second: throughput.
        median: seconds.
        p99: seconds.
        cpu: CPU seconds of the server for a request, user and system.
        growth: octets by which a process grew at most above what it had before.
        peak: highest resident octets of any process.
        generator: CPU seconds of the generator for a request, handshakes and warm-up included.
        turns: throughput of each turn.
    """

    requests: int
    per_second: float
    median: float
    p99: float
    cpu: float
    growth: int
    peak: int
    generator: float
    turns: Sequence[float] = ()


@dataclass(frozen=True)
class Row:
    """A case at a number of connections, ours beside the floor."""

    store: str
    case: str
    connections: int
    ours: Cell
    floor: Cell

    @property
    def ratio(self) -> float:
        """Our throughput by the floor's."""
        return self.ours.per_second / self.floor.per_second

    @property
    def ratios(self) -> list[float]:
        """The same for each round: a turn of ours by the floor's that followed it."""
        return [ours / floor for ours, floor in zip(self.ours.turns, self.floor.turns, strict=True)]

    @property
    def is_missed(self) -> bool:
        """The ratio is below its target."""
        return self.ratio < TARGETS.get(self.case, 0.0)


@dataclass
class Run:
    """One run of the program.

    Attributes:
        machine: see `machine`.
        command: as typed.
        workers: of each server.
        seconds: for each figure of a side.
        generator: CPU seconds of the generator for a small request, against a server that answers a fixed text.
        first_answer: store -> seconds from the start of the process to the first answer.
    """

    machine: dict[str, str]
    command: str
    workers: int
    seconds: float
    generator: float
    rows: list[Row] = field(default_factory=list)
    first_answer: dict[str, float] = field(default_factory=dict)
    _store: str = ""

    def add(self, row: dict[str, Any]) -> None:
        """Take a row; one with `store` says where the next ones come from."""
        if "store" in row:
            self._store = row["store"]
            self.first_answer[self._store] = row["first_answer"]
        else:
            self.rows.append(Row(self._store, **row))

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        rows = [asdict(row) | {"ratio": row.ratio, "ratios": row.ratios} for row in self.rows]
        plain = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {"kind": "bench"} | plain | {"rows": rows}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Run:
        """Read what `as_json` gave."""
        rows = [
            Row(row["store"], row["case"], row["connections"], Cell(**row["ours"]), Cell(**row["floor"]))
            for row in data["rows"]
        ]
        names = ("machine", "command", "workers", "seconds", "generator")
        given = {name: data[name] for name in names}
        return Run(**given, rows=rows, first_answer=data["first_answer"])


def machine(services: Mapping[str, str] | None = None) -> dict[str, str]:
    """Date and machine, as far as they matter to a figure.

    Args:
        services: what else the figures depend on, from `stack.services`.
    """
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{len(os.sched_getaffinity(0))} x {model[1] if model else platform.machine()}",
        "memory": f"{memory / (1 << 30):.0f} GiB",
        "disk": f"fsync of 4 KiB {fsync_seconds() * 1000:.2g} ms",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        **(services or {}),
    }


def about(told: Mapping[str, str]) -> str:
    """What `machine` gave, in one line; files of old have fewer names."""
    return ", ".join(f"Python {text}" if name == "python" else text for name, text in told.items())


def fsync_seconds() -> float:
    """How long 4 KiB take to become durable in the temporary directory: the price of a transaction's end, by median."""
    taken = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(30):
            begun = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def number(value: float | None) -> str:
    """Three digits that count, and three decimals at most."""
    if value is None:
        return ABSENT
    whole = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(3, max(0, 2 - whole))}f}"


WIDE = 180
"""Columns of a terminal that is none: the tables as they are, in a file."""


# --- beside the floor -----------------------------------------------------------------------------------------------

COLUMNS = (
    "connections",
    "per second",
    "median ms",
    "p99 ms",
    "CPU ms",
    "generator CPU ms",
    "peak MB",
    "+MB",
    "floor/s",
    "floor CPU ms",
    "ratio (low-high)",
)


def cells(row: Row, mark: Mark = str) -> tuple[str, ...]:
    """A row as text, in the order of `COLUMNS`."""
    ours, floor = row.ours, row.floor
    return (
        str(row.connections),
        number(ours.per_second),
        _median(ours),
        number(ours.p99 * 1000 if ours.requests >= _LEAST else None),
        number(ours.cpu * 1000),
        number(ours.generator * 1000),
        f"{ours.peak / 1e6:.0f}",
        f"{ours.growth / 1e6:.0f}",
        number(floor.per_second),
        number(floor.cpu * 1000),
        _ratio(row, mark),
    )


def _median(cell: Cell) -> str:
    few = f" (of {cell.requests})" if cell.requests < _LEAST else ""
    return number(cell.median * 1000) + few


def _ratio(row: Row, mark: Mark) -> str:
    text = f"{row.ratio:.2f}"
    spread = f" ({min(row.ratios):.2f}-{max(row.ratios):.2f})" if len(row.ratios) > 1 else ""
    return (mark(text) if row.is_missed else text) + spread


def bold(text: str) -> str:
    """A `Mark` for the terminal."""
    return f"[bold]{text}[/bold]"


def print_table(run: Run, console: Console) -> None:
    """Show a run on the terminal."""
    for store in dict.fromkeys(row.store for row in run.rows):
        table = Table("case", *COLUMNS, title=f"{store}, {run.workers} workers", title_justify="left")
        table.columns[0].no_wrap = True
        for column in table.columns[1:]:
            column.justify = "right"
        last = ""
        for row in (row for row in run.rows if row.store == store):
            table.add_row(row.case if row.case != last else "", *cells(row, bold))
            last = row.case
        console.print(table)
        console.print(
            f"first answer {run.first_answer.get(store, float('nan')):.2f} s after the start", highlight=False
        )
    console.print(f"the generator itself: {run.generator * 1e6:.0f} us of CPU for a small request", highlight=False)
    console.print(about(run.machine), highlight=False)


# --- growth -----------------------------------------------------------------------------------------------------------


def times(results: Sequence[Mapping[str, Any]], mark: Mark = str) -> Iterator[tuple[str, ...]]:
    """Rows of text of what `bench/grow.py` timed, one for each probe, headed by `times_heads`."""
    for name, largest in results[-1]["timings"].items():
        medians = [result["timings"].get(name, {}).get("median") for result in results]
        shown = (number(None if value is None else value * 1000) for value in medians)
        yield (
            name,
            *shown,
            _growth(medians[0], medians[-1], mark),
            number(largest["p99"] * 1000),
            number(largest["results"]),
        )


def _growth(first: float | None, last: float, mark: Mark) -> str:
    if first is None:
        return ABSENT
    text = f"{last / first:.2f}"
    return mark(text) if last / first > GROWTH_TARGET else text


def sizes(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Numbers of entries, as heads of columns."""
    return [f"{result['entries']:,}" for result in results]


def times_heads(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Heads of the columns of `times`, but for the first."""
    return [*sizes(results), "last / first", "p99 at the largest", "objects at the largest"]


def octets(results: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Rows of text of the octets for an entry, one for each table and index that takes one at least, then all."""
    for name in results[-1]["relations"]:
        values = [result["relations"].get(name, 0) / result["entries"] for result in results]
        if max(values) >= 1:
            yield name, *(f"{value:.0f}" for value in values)
    yield "all", *(f"{sum(result['relations'].values()) / result['entries']:.0f}" for result in results)
