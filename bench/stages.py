"""Where the time of a request goes: CPU of each stage of the server, in this process, without HTTP and TLS.

    python bench/stages.py --only "ITI-42" --store postgres

A stage that calls another contains it. Each is wrapped by a clock, which costs a microsecond or so a call.
"""

from __future__ import annotations

import importlib
import io
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from cases import MB, Case, Seeded, cases
from generator import Request, filled, fresh_numbers
from rich.console import Console
from rich.table import Table
from run import StoreKind
from seed import seed
from stack import clean_up_on_sigterm, prepared

from xds import app
from xds.config import Settings, load

STAGES: Mapping[str, str] = {
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
    "ITI-41: storing": "repository.provide:put_soon",
    "ITI-41: claiming": "repository.claims:claim",
    "ITI-41: confirming": "repository.claims:confirm",
    "ITI-43": "repository.service:Repository.retrieve",
    "transaction": "xds.database:_run",
    "statement with rows": "xds.database:rows",
    "statement without": "xds.database:changed",
    "psycopg": "psycopg:Cursor.execute",
}
"""What a stage is called, and the function that it is."""
ROUNDS, REQUESTS = 5, 100

Clock = Counter[str]
CPU, CALLS = Clock(), Clock()


def watch(name: str, where: str) -> None:
    """Put a clock around a function."""
    module, _, path = where.partition(":")
    *owners, last = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    real: Callable[..., Any] = getattr(owner, last)

    def timed(*args: Any, **options: Any) -> Any:
        begun = time.thread_time()
        try:
            return real(*args, **options)
        finally:
            CPU[name] += time.thread_time() - begun
            CALLS[name] += 1

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


def measure(application: Any, peer: Peer, request: Request) -> tuple[Clock, Clock]:
    """CPU and calls of each stage for `REQUESTS` requests, in the best of some rounds.

    Raises:
        RuntimeError: the server did not answer as it must.
    """
    numbers = fresh_numbers(11)
    best: tuple[Clock, Clock] = (Clock(), Clock())
    for round_ in range(ROUNDS + 1):
        ready = [
            peer.environ(bytes(filled(request, row, numbers)) + bytes(request.repeat) + request.tail)
            for row in range(REQUESTS)
        ]
        CPU.clear()
        CALLS.clear()
        for environ in ready:
            if request.expect not in send(application, environ):
                raise RuntimeError(request.head[:300])
        if round_ and (not best[0] or CPU.total() < best[0].total()):
            best = Clock(CPU), Clock(CALLS)
    return best


def chosen(only: str) -> Iterator[Case]:
    """The small cases whose name has this in it."""
    return (case for case in cases(MB) if only.lower() in case.name.lower() and not case.huge)


def main(
    *,
    only: Annotated[str, typer.Option(help="Cases whose name has this in it.")] = "",
    store: Annotated[StoreKind, typer.Option(help="What lies below.")] = StoreKind.POSTGRES,
) -> None:
    """Tell where the time of a request goes."""
    clean_up_on_sigterm()
    console = Console(width=None if sys.stdout.isatty() else 150)
    with prepared(store) as path:
        for case, (cpu, calls) in _measured(path, list(chosen(only))):
            table = Table(case.name, "us of CPU", "calls")
            for name in STAGES:
                if calls[name]:
                    table.add_row(name, f"{cpu[name] / REQUESTS * 1e6:.0f}", f"{calls[name] / REQUESTS:.0f}")
            console.print(table)


def _measured(path: Path, wanted: list[Case]) -> Iterator[tuple[Case, tuple[Clock, Clock]]]:
    settings = load(path)
    seeded: Seeded = seed(settings, retrieval=any("ITI-43" in case.name for case in wanted), huge=0)
    for name, where in STAGES.items():
        watch(name, where)
    application, peer = app.application(settings, app.Choice.ALL), Peer(settings)
    for case in wanted:
        yield case, measure(application, peer, case.requests(seeded)[0])


if __name__ == "__main__":
    typer.run(main)
