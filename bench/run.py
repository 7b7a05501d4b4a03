"""`make bench`: measure the server against the floor, and print and keep what was found.

For each store a server and a floor are started on the same database and the same objects. For each case and number of
connections both are loaded in turn, A B A B, so that what else the machine does meets both alike. The figures of a side
are those of its turns together; how far the ratio differs from one round to the next is shown beside it.
"""

from __future__ import annotations

import json
import re
import shlex
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from cases import GB, MB, Case, Seeded, cases
from generator import Client, LoadError, Measured, Plan, Request, Target, own_cost, run
from report import WIDE, Cell, Run, machine, print_table
from rich.console import Console
from seed import seed
from stack import Processes, Stack, clean_up_on_sigterm, prepared, running, services

from xds import app
from xds.config import load
from xds.security.tls import server_context
from xds.transactions import ITI_18

CONNECTIONS = (1, 8, 32)
ROUNDS = 3
QUICK_HUGE = 64 * MB
_OBJECT = re.compile(rb'<rim:(?:ExtrinsicObject|RegistryPackage|Association|ObjectRef) id="([^"]+)"')
err = Console(stderr=True)


class StoreKind(StrEnum):
    """What lies below the actors."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


@dataclass
class Side:
    """One of the two that are compared, and what its turns gave.

    Attributes:
        processes: the server's.
        target: where it listens.
        request: what it is sent.
    """

    processes: Processes
    target: Target
    request: Request
    measured: Measured = field(default_factory=Measured)
    cpu: float = 0.0
    growth: int = 0
    peak: int = 0
    turns: list[float] = field(default_factory=list)

    def turn(self, plan: Plan) -> None:
        """Load it once."""
        self.processes.reset_peak()
        before, cpu = self.processes.memory(), self.processes.cpu()
        result = run(self.target, self.request, plan)
        warmed = plan.connections if plan.warm else 0
        share = len(result.latencies) / (len(result.latencies) + warmed)
        self.cpu += (self.processes.cpu() - cpu) * share
        for pid, (_, peak) in self.processes.memory().items():
            self.peak = max(self.peak, peak)
            self.growth = max(self.growth, peak - before.get(pid, (peak, 0))[0])
        self.measured.add(result)
        self.measured.seconds += result.seconds
        self.turns.append(len(result.latencies) / result.seconds)

    def cell(self) -> Cell:
        """The figures."""
        done = len(self.measured.latencies)
        return Cell(
            requests=done,
            per_second=done / self.measured.seconds,
            median=statistics.median(self.measured.latencies),
            p99=self.measured.percentile(0.99),
            cpu=self.cpu / done,
            growth=self.growth,
            peak=self.peak,
            generator=self.measured.cpu / done,
            turns=self.turns,
        )


def check_answers(stack: Stack, case: Case, requests: tuple[Request, Request]) -> None:
    """Server and floor must return the same objects for the same query.

    Raises:
        LoadError: they do not.
    """
    found = []
    for target, request in zip(stack.targets, requests, strict=True):
        client = Client(target, target.context(), seed=3, kept=16 * MB)
        found.append(sorted(_OBJECT.findall(client.send(request))))
        client.close()
    if found[0] != found[1] or not found[0]:
        raise LoadError(f"{case.name}: the server returns {len(found[0])} objects, the floor {len(found[1])} or others")


def measure(stack: Stack, case: Case, seeded: Seeded, plan: Plan, rounds: int) -> tuple[Cell, Cell]:
    """Load both sides in turn.

    Raises:
        LoadError: one of them did not answer as it must.
    """
    requests = case.requests(seeded)
    if case.transaction is ITI_18:
        check_answers(stack, case, requests)
    sides = [
        Side(processes, target, request)
        for processes, target, request in zip((stack.server, stack.floor), stack.targets, requests, strict=True)
    ]
    for _ in range(rounds):
        for side, name in zip(sides, ("the server", "the floor"), strict=True):
            try:
                side.turn(plan)
            except LoadError as error:
                told = side.processes.log.read_text(errors="replace")[-2000:]
                raise LoadError(f"{case.name}, {plan.connections} connections, {name}: {error}\n{told}") from None
    return sides[0].cell(), sides[1].cell()


def plans(case: Case, connections: tuple[int, ...], seconds: float, rounds: int) -> Iterator[Plan]:
    """How a case is run: a huge document once per turn over one connection, all else at each number of connections."""
    if case.huge:
        yield Plan(1, 0.0, warm=False)
    else:
        yield from (Plan(number, seconds / rounds) for number in connections)


@dataclass(frozen=True)
class Choice:
    """What is measured, and how.

    Attributes:
        cases: in order.
        workers: processes of each server.
        connections: numbers of connections.
        seconds: for each figure of a side.
        huge: octets of the largest document.
    """

    cases: tuple[Case, ...]
    workers: int
    connections: tuple[int, ...]
    seconds: float
    huge: int


def measure_store(kind: StoreKind, chosen: Choice) -> Iterator[dict[str, Any]]:
    """All cases on one store, a row for each number of connections."""
    rounds = ROUNDS if chosen.seconds >= 1 else 1
    retrieval = any(case.transaction.number == "ITI-43" for case in chosen.cases)
    wants_huge = any(case.huge and case.transaction.number == "ITI-43" for case in chosen.cases)
    with prepared(kind) as path:
        err.print(f"{kind}: filling the databases ...", highlight=False)
        seeded = seed(load(path), retrieval=retrieval, huge=chosen.huge if wants_huge else 0)
        with running(kind, path, chosen.workers) as stack:
            yield {"store": stack.name, "first_answer": stack.notes["first answer"]}
            for case in chosen.cases:
                for plan in plans(case, chosen.connections, chosen.seconds, rounds):
                    err.print(f"{kind}: {case.name}, {plan.connections} connections", highlight=False)
                    ours, floor = measure(stack, case, seeded, plan, rounds)
                    yield {"case": case.name, "connections": plan.connections, "ours": ours, "floor": floor}


def generator_cost(kind: StoreKind) -> float:
    """What the generator itself takes for one FindDocuments request."""
    with prepared(kind) as path:
        settings = load(path)
        tls = app.tls_settings(settings)
        if tls is None:
            raise ValueError(path)
        certs = tls.certificate.parent
        target = Target(0, str(tls.ca), str(certs / "client.pem"), str(certs / "client.key"))
        seeded = Seeded(range(1, 9), range(1, 9), range(1, 9), [], "", [], [])
        case = next(case for case in cases() if "10 refs" in case.name)
        return own_cost(target, server_context(tls), case.requests(seeded)[0])


def main(
    *,
    quick: Annotated[bool, typer.Option(help="Half a second for each figure, 64 MB for the largest document.")] = False,
    only: Annotated[str, typer.Option(help="Cases whose name has this in it, such as ITI-18.")] = "",
    store: Annotated[StoreKind | None, typer.Option(help="One of the two; both if left out.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each figure of each side.")] = 2.0,
    connections: Annotated[str, typer.Option(help="Numbers of connections.")] = "1,8,32",
    workers: Annotated[int, typer.Option(min=1, help="Worker processes of each server.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Keep the figures here.")] = None,
) -> None:
    """Measure the server against the floor."""
    clean_up_on_sigterm()
    huge, seconds = (QUICK_HUGE, min(seconds, 0.5)) if quick else (GB, seconds)
    chosen = tuple(case for case in cases(huge) if only.lower() in case.name.lower())
    if not chosen:
        raise typer.BadParameter(f"no case has {only!r} in its name")
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", connections):
        raise typer.BadParameter("--connections takes numbers from 1 on, as in 1,8,32")
    numbers = tuple(int(number) for number in connections.split(","))
    command = shlex.join(["python", "bench/run.py", *sys.argv[1:]])
    kinds = [store] if store else list(StoreKind)
    about = machine({name: text for kind in kinds for name, text in services(kind).items()})
    result = Run(machine=about, command=command, workers=workers, seconds=seconds, generator=0.0)
    result.generator = generator_cost(StoreKind.SQLITE)
    try:
        for kind in kinds:
            for row in measure_store(kind, Choice(chosen, workers, numbers, seconds, huge)):
                result.add(row)
    except LoadError as error:
        err.print(f"[red]{error}", markup=True, highlight=False)
        raise typer.Exit(1) from None
    finally:
        print_table(result, Console(width=None if sys.stdout.isatty() else WIDE))
        if json_file:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            json_file.write_text(json.dumps(result.as_json(), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
