"""What was measured, as a table for the terminal, JSON for machines, and docs/performance.md with plots for people."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


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
        generator: CPU seconds of the generator for a request.
    """

    requests: int
    per_second: float
    median: float
    p99: float
    cpu: float
    growth: int
    peak: int
    generator: float


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
        rows = [asdict(row) | {"ratio": row.ratio} for row in self.rows]
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


def machine() -> dict[str, str]:
    """Date and machine, as far as they matter to a figure."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{len(os.sched_getaffinity(0))} x {model[1] if model else platform.machine()}",
        "memory": f"{memory / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
    }


# --- terminal -----------------------------------------------------------------------------------------------------

COLUMNS = (
    "connections",
    "per second",
    "median ms",
    "p99 ms",
    "CPU ms",
    "peak MB",
    "+MB",
    "floor/s",
    "floor CPU ms",
    "ratio",
)


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of `COLUMNS`."""
    ours, floor = row.ours, row.floor
    return (
        str(row.connections),
        number(ours.per_second),
        number(ours.median * 1000),
        number(ours.p99 * 1000),
        number(ours.cpu * 1000),
        f"{ours.peak / 1e6:.0f}",
        f"{ours.growth / 1e6:.0f}",
        number(floor.per_second),
        number(floor.cpu * 1000),
        f"{row.ratio:.2f}",
    )


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f}"


def print_table(run: Run, console: Console) -> None:
    """Show a run on the terminal."""
    for store in dict.fromkeys(row.store for row in run.rows):
        table = Table("case", *COLUMNS, title=f"{store}, {run.workers} workers", title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        last = ""
        for row in (row for row in run.rows if row.store == store):
            table.add_row(row.case if row.case != last else "", *cells(row))
            last = row.case
        console.print(table)
        console.print(
            f"first answer {run.first_answer.get(store, float('nan')):.2f} s after the start", highlight=False
        )
    console.print(f"the generator itself: {run.generator * 1e6:.0f} us of CPU for a small request", highlight=False)
