"""Where the time of a request goes: CPU and waiting of each stage of the server, in this process, without HTTP and TLS.

    python bench/stages.py --only "ITI-42" --store postgres
    python bench/stages.py --only "ITI-41" --json stages.json

A stage that calls another contains it. Each is wrapped by a clock, which costs a microsecond or so a call. CPU is that
of the thread that runs the stage; the rest of its time it waited: for a disk, for a server, for what it handed to other
threads, for its turn among them. What other threads do runs beside the request's own: their times do not add up to it.
"""

from __future__ import annotations

import importlib
import io
import json
import shlex
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from cases import MB, Case, Seeded, cases
from generator import Request, filled, fresh_numbers
from report import machine
from rich.console import Console
from rich.table import Table
from run import StoreKind
from seed import seed
from stack import clean_up_on_sigterm, prepared, services

from xds import app
from xds.config import Settings, load

STAGES = {
    "whole request": "xds.soap.server:SoapApplication._exchange",
    "message and parts": "xds.soap.call:read_message",
    "XML": "xds.soap.envelope:parse",
    "ITI-42": "registry.service:Registry.register",
    "ITI-42: schema, decoding, structure": "registry.service:examine",
    "ITI-42: rules": "xds.metadata.rules:check",
    "ITI-42: encoding": "xds.ebxml.rim:encode",
    "ITI-42: packing": "registry.register:pack",
    "ITI-42: rows": "registry.register:row",
    "ITI-42: writing": "registry.register:insert_all",
    "ITI-18": "registry.service:Registry.query",
    "ITI-18: parameters": "registry.service:parse",
    "ITI-18: unpacking": "registry.query:unpack",
    "ITI-41": "repository.service:Repository.provide_and_register",
    "ITI-41: storing all documents": "repository.provide:Provision._store",
    "ITI-41: reading one, handing it on": "repository.provide:put_soon",
    "ITI-41: claiming": "repository.claims:claim",
    "ITI-41: confirming": "repository.claims:confirm",
    "ITI-43": "repository.service:Repository.retrieve",
    "directory put": "repository.storage.directory:DirectoryStore.put",
    "S3 put": "repository.storage.s3:_Client.put",
    "S3 get": "minio:Minio.get_object",
    "S3, any request": "urllib3:PoolManager.urlopen",
    "transaction": "xds.database:_run",
    "statement with rows": "xds.database:rows",
    "statement without": "xds.database:changed",
    "PostgreSQL, any statement": "psycopg:Cursor.execute",
}
"""What a stage is called, and the function that it is."""
CONNECTING = {
    "connection to S3": "urllib3.connection:HTTPConnection._new_conn",
    "connection to PostgreSQL": "xds.postgres:Connection.connect",
}
"""What opens a TCP connection."""
ROUNDS, REQUESTS = 5, 100

TAKEN: list[tuple[str, float, float]] = []
"""Each call of a stage, its seconds of CPU and its seconds in all; threads append to it side by side."""


@dataclass(frozen=True)
class Stage:
    """A stage of a request, on average: microseconds of its thread's CPU, those it waited besides, and its calls."""

    name: str
    cpu_us: float
    waiting_us: float
    calls: float


@dataclass(frozen=True)
class Found:
    """What a case gave.

    Attributes:
        case: its name.
        stages: in the order of `STAGES`, those that were called, in the fastest round.
        connections_opened: TCP connections to store and database for a request, over all rounds but the first.
        whole_us: microseconds from a request to the end of its answer.
    """

    case: str
    stages: list[Stage]
    connections_opened: float
    whole_us: float


def watch(name: str, where: str) -> None:
    """Put a clock around a function."""
    module, _, path = where.partition(":")
    *owners, last = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    real: Callable[..., Any] = getattr(owner, last)

    def timed(*args: Any, **options: Any) -> Any:
        begun, cpu = time.perf_counter(), time.thread_time()
        try:
            return real(*args, **options)
        finally:
            used = time.thread_time() - cpu
            TAKEN.append((name, used, time.perf_counter() - begun))

    setattr(owner, last, timed)


class Peer:
    """A connection as the application sees it: with the development client's certificate."""

    def __init__(self, settings: Settings) -> None:
        tls = app.tls_settings(settings)
        if tls is None:
            raise ValueError(settings)
        pem = (tls.certificate.parent / "client.pem").read_text()
        first, mark, _ = pem.partition("-----END CERTIFICATE-----")
        self._certificate = ssl.PEM_cert_to_DER_cert(f"{first}{mark}\n")

    def getpeercert(self, binary_form: bool = False) -> bytes:  # noqa: ARG002 - as SSLSocket's
        """The certificate in DER."""
        return self._certificate

    def environ(self, octets: bytes) -> dict[str, Any]:
        """WSGI's environment of a request."""
        head, _, body = octets.partition(b"\r\n\r\n")
        request, *lines = head.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        lower = {name.lower(): value for name, value in fields.items()}
        return {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": request.split()[1],
            "CONTENT_TYPE": lower["content-type"],
            "CONTENT_LENGTH": str(len(body)),
            "QUERY_STRING": "",
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "8443",
            "gunicorn.socket": self,
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "https",
        }


def send(application: Any, environ: dict[str, Any]) -> bytes:
    """The answer's body."""
    chunks = application(environ, lambda *_: None)
    try:
        return b"".join(chunks)
    finally:
        chunks.close()


def measure(application: Any, peer: Peer, case: Case, request: Request) -> Found:
    """CPU, waiting and calls of each stage for `REQUESTS` requests, in the fastest of some rounds.

    Raises:
        RuntimeError: the server did not answer as it must.
    """
    numbers = fresh_numbers(11)
    seconds, stages, opened = float("inf"), list[Stage](), 0
    for round_ in range(ROUNDS + 1):
        TAKEN.clear()
        environs = (peer.environ(_octets(request, row, numbers)) for row in range(REQUESTS))
        took = sum(_timed(application, environ, request) for environ in environs)
        if not round_:
            continue  # warms up
        opened += sum(name in CONNECTING for name, _, _ in TAKEN)
        if took < seconds:
            seconds, stages = took, list(_stages())
    return Found(case.name, stages, opened / (ROUNDS * REQUESTS), seconds / REQUESTS * 1e6)


def _octets(request: Request, row: int, numbers: Iterator[bytes]) -> bytes:
    return b"".join((filled(request, row, numbers), bytes(request.repeat), request.tail))


def _timed(application: Any, environ: dict[str, Any], request: Request) -> float:
    """Seconds until the end of the answer."""
    begun = time.perf_counter()
    answer = send(application, environ)
    took = time.perf_counter() - begun
    if request.expect not in answer:
        raise RuntimeError(answer[:2000].decode(errors="replace"))
    return took


def _stages() -> Iterator[Stage]:
    """The sums of `TAKEN` for a request."""
    for stage in STAGES:
        calls = [(cpu, elapsed) for name, cpu, elapsed in TAKEN if name == stage]
        if calls:
            cpu, elapsed = (sum(column) / REQUESTS * 1e6 for column in zip(*calls, strict=True))
            yield Stage(stage, cpu, elapsed - cpu, len(calls) / REQUESTS)


def chosen(only: str) -> Iterator[Case]:
    """The small cases whose name has this in it."""
    return (case for case in cases(MB) if only.lower() in case.name.lower() and not case.huge)


def main(
    *,
    only: Annotated[str, typer.Option(help="Cases whose name has this in it.")] = "",
    store: Annotated[StoreKind, typer.Option(help="What lies below.")] = StoreKind.POSTGRES,
    json_file: Annotated[Path | None, typer.Option("--json", help="Keep the figures here.")] = None,
) -> None:
    """Tell where the time of a request goes."""
    wanted = list(chosen(only))
    if not wanted:
        raise typer.BadParameter(f"no case has {only!r} in its name")
    clean_up_on_sigterm()
    console = Console(width=None if sys.stdout.isatty() else 150)
    kept: list[Found] = []
    with prepared(store) as path:
        for found in _measured(path, wanted):
            kept.append(found)
            show(found, console)
    if json_file:
        command = shlex.join(["python", "bench/stages.py", *sys.argv[1:]])
        about = {"kind": "stages", "command": command, "machine": machine(services(store)), "store": store}
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(about | {"cases": [asdict(found) for found in kept]}, indent=1) + "\n")


def show(found: Found, console: Console) -> None:
    """The table of a case."""
    table = Table(found.case, "us of CPU", "us waiting", "calls")
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in found.stages:
        table.add_row(stage.name, f"{stage.cpu_us:.0f}", f"{stage.waiting_us:.0f}", f"{stage.calls:.3g}")
    console.print(table)
    told = f"{found.whole_us:.0f} us for a request, {found.connections_opened:.3g} connections opened for it"
    console.print(told, highlight=False)


def _measured(path: Path, wanted: list[Case]) -> Iterator[Found]:
    settings = load(path)
    seeded: Seeded = seed(settings, retrieval=any("ITI-43" in case.name for case in wanted), huge=0)
    for name, where in (STAGES | CONNECTING).items():
        watch(name, where)
    application, peer = app.application(settings, app.Choice.ALL), Peer(settings)
    for case in wanted:
        yield measure(application, peer, case, case.requests(seeded)[0])


if __name__ == "__main__":
    typer.run(main)
