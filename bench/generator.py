"""The load generator: closed-loop clients over kept-alive mutual TLS, at a cost that is small and measured.

A request is rendered once. What must differ from one request to the next (message id, uniqueIds, patient) has a fixed
width and is written over the same octets each time; a large document is one block sent again and again. An answer is
read by its Content-Length or its chunks, its status compared, its octets thrown away. Connections are spread over
processes of the generator's own, a thread each, since a client waits nearly all its time. Before the clock starts every
connection has done its handshake and one request.

`own_cost` measures what this costs against a TLS server that answers a fixed text.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import socket
import ssl
import threading
import time
import uuid
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

BLOCK = 1 << 20
_HEADER_END = b"\r\n\r\n"
_KEPT = 64 * 1024  # octets of an answer that are kept for the check
_fork = multiprocessing.get_context("fork")


class LoadError(Exception):
    """A request was not answered as it must be; the text holds the beginning of the answer."""


@dataclass(frozen=True)
class Field:
    """A part of a request that changes.

    Attributes:
        offset: where it stands in `Request.head`.
        width: octets.
        name: a column of `choices`; any other name means decimal digits nobody has used.
    """

    offset: int
    width: int
    name: str


@dataclass(frozen=True)
class Request:
    """A request ready to be sent.

    Attributes:
        head: the HTTP header and the body up to a large document, or all of it.
        fields: what changes in it.
        repeat: octets of a large document that follows, sent in blocks.
        tail: what comes after it.
        choices: rows of values for named fields, one row drawn for each request; every value has its field's width.
        expect: octets that must stand in the answer's first 64 KiB.
    """

    head: bytes
    fields: tuple[Field, ...]
    repeat: int = 0
    tail: bytes = b""
    choices: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    expect: bytes = b"ResponseStatusType:Success"

    @property
    def size(self) -> int:
        """Octets of the whole request."""
        return len(self.head) + self.repeat + len(self.tail)


@dataclass(frozen=True)
class Target:
    """Where requests go, and who sends them."""

    port: int
    ca: str
    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        """A client's context; the server is known by its authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True)
class Part:
    """One process's part of a run.

    Attributes:
        number: of the process.
        connections: it makes.
        start: where all processes wait for each other.
    """

    number: int
    connections: int
    start: Any


@dataclass
class Measured:
    """What one run gave.

    Attributes:
        seconds: from the common start to the end of the last request.
        latencies: seconds of each request.
        cpu: CPU seconds of the generator itself, handshakes and warm-up included.
        received: octets of answers, headers included.
    """

    seconds: float = 0.0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    cpu: float = 0.0
    received: int = 0

    def add(self, other: Measured) -> None:
        """Join what ran at the same time or later."""
        self.latencies.extend(other.latencies)
        self.cpu += other.cpu
        self.received += other.received

    def percentile(self, share: float) -> float:
        """Latency below which this share of requests stays, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Client:
    """One connection.

    Args:
        target: where.
        context: from `target.context`.
        seed: another one for each connection: where it begins with rows and numbers.
        kept: octets of an answer that `send` gives back, about.
    """

    def __init__(self, target: Target, context: ssl.SSLContext, seed: int, kept: int = _KEPT) -> None:
        raw = socket.create_connection(("127.0.0.1", target.port), timeout=300)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = context.wrap_socket(raw)
        self._buffer = memoryview(bytearray(BLOCK))
        self._numbers = fresh_numbers(seed)
        self._row = seed
        self._kept = kept
        self.received = 0

    def send(self, request: Request) -> bytes:
        """Send one request and read its answer; returns the beginning of the answer."""
        self._sock.sendall(self._filled(request))
        for _ in range(request.repeat // BLOCK):
            self._sock.sendall(_NOISE)
        self._sock.sendall(_NOISE[: request.repeat % BLOCK])
        if request.tail:
            self._sock.sendall(request.tail)
        return self._answer()

    def checked(self, request: Request) -> None:
        """Send one request; raise LoadError unless it succeeds."""
        answer = self.send(request)
        if not answer.startswith(b"HTTP/1.1 200") or request.expect not in answer:
            raise LoadError(answer[:2000].decode(errors="replace"))

    def close(self) -> None:
        """End the connection."""
        with suppress(OSError):
            self._sock.close()

    def _filled(self, request: Request) -> bytearray:
        self._row += 1
        return filled(request, self._row, self._numbers)

    def _answer(self) -> bytes:
        """Read the header, then the body by its length or its chunks."""
        got = self._more(b"")
        while (end := got.find(_HEADER_END)) < 0:
            got = self._more(got)
        header = got[:end].lower()
        start = end + len(_HEADER_END)
        if b"transfer-encoding: chunked" in header:
            return self._chunked(got)
        length = int(header.partition(b"content-length:")[2].partition(b"\r")[0])
        missing = start + length - len(got)
        while missing > 0:
            count = self._into(min(missing, BLOCK))
            if len(got) < self._kept:
                got += bytes(self._buffer[: min(count, self._kept)])
            missing -= count
        return got

    def _chunked(self, got: bytes) -> bytes:
        tail = got[-8:]
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            count = self._into(BLOCK)
            if len(got) < self._kept:
                got += bytes(self._buffer[: min(count, self._kept)])
            tail = (tail + bytes(self._buffer[max(0, count - 8) : count]))[-8:]
        return got

    def _more(self, got: bytes) -> bytes:
        count = self._into(_KEPT)
        return got + bytes(self._buffer[:count])

    def _into(self, most: int) -> int:
        count = self._sock.recv_into(self._buffer[:most])
        if not count:
            raise LoadError("the server closed the connection")
        self.received += count
        return count


_NOISE = random.Random(1).randbytes(BLOCK)  # no pattern that anything on the way could profit from


def filled(request: Request, row: int, numbers: Iterator[bytes]) -> bytearray:
    """The request's head with its fields filled in: from a row of the choices, else from numbers nobody has used."""
    data = bytearray(request.head)
    for spot in request.fields:
        values = request.choices.get(spot.name)
        value = (
            values[row % len(values)] if values is not None else next(numbers)[-spot.width :].rjust(spot.width, b"0")
        )
        data[spot.offset : spot.offset + spot.width] = value
    return data


def fresh_numbers(seed: int) -> Iterator[bytes]:
    """Digits nobody has used: a random start for each connection, then counting."""
    number = uuid.uuid4().int % 10**26 * 10**10 + seed
    while True:
        yield b"%d" % number
        number += 1


@dataclass(frozen=True)
class Plan:
    """How a run goes.

    Attributes:
        connections: clients, each sending the next request when the last one is answered.
        seconds: how long new requests are begun.
        least: requests that each connection does at least, however long they take.
        warm: each connection does one request before the clock starts.
    """

    connections: int
    seconds: float
    least: int = 1
    warm: bool = True


def run(target: Target, request: Request, plan: Plan) -> Measured:
    """Load a server.

    Args:
        target: where.
        request: what.
        plan: how many and how long.

    Raises:
        LoadError: a request failed.
    """
    processes = min(2, plan.connections)
    shares = [plan.connections // processes + (number < plan.connections % processes) for number in range(processes)]
    start = _fork.Barrier(processes)
    jobs = []
    for number, share in enumerate(shares):
        ours, theirs = _fork.Pipe(duplex=False)
        job = _fork.Process(target=_process, args=(theirs, target, request, plan, Part(number, share, start)))
        job.start()
        theirs.close()
        jobs.append((job, ours))
    return _collect(jobs)


def _collect(jobs: list[tuple[Any, Connection]]) -> Measured:
    total, problems = Measured(), []
    for job, pipe in jobs:
        try:
            result = pipe.recv()
        except EOFError:
            result = "a process of the generator died"
        job.join()
        if isinstance(result, str):
            problems.append(result)
        else:
            total.add(result)
            total.seconds = max(total.seconds, result.seconds)
    if problems:
        raise LoadError(problems[0])
    return total


def _process(pipe: Connection, target: Target, request: Request, plan: Plan, part: Part) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        pipe.send(_threads(target, request, plan, part))
    except Exception as error:  # noqa: BLE001 - told to the parent
        part.start.abort()
        pipe.send(f"{type(error).__name__}: {error}")
    pipe.close()
    os._exit(0)


def _threads(target: Target, request: Request, plan: Plan, part: Part) -> Measured:
    crew = _Crew(target, request, plan, part)
    total = crew.run()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    total.cpu = usage.ru_utime + usage.ru_stime
    return total


class _Crew:
    """The connections of one process.

    Each thread connects and sends at once: a server may give a thread to whoever connects, and wait for the request.
    """

    def __init__(self, target: Target, request: Request, plan: Plan, part: Part) -> None:
        self._target, self._request, self._plan, self._part = target, request, plan, part
        self._context = target.context()
        self._results = [Measured() for _ in range(part.connections)]
        self._problems: list[Exception] = []
        self._ready, self._go = (threading.Barrier(part.connections + 1) for _ in range(2))

    def run(self) -> Measured:
        """Connect, wait for the other processes, and send."""
        threads = [threading.Thread(target=self._work, args=pair) for pair in enumerate(self._results)]
        for thread in threads:
            thread.start()
        try:
            self._ready.wait()
            self._part.start.wait()
        except threading.BrokenBarrierError:
            self._go.abort()
        began = time.perf_counter()
        with suppress(threading.BrokenBarrierError):
            self._go.wait()
        for thread in threads:
            thread.join()
        if self._problems:
            raise self._problems[0]
        total = Measured(time.perf_counter() - began)
        for result in self._results:
            total.add(result)
        return total

    def _work(self, place: int, result: Measured) -> None:
        try:
            client = Client(self._target, self._context, self._part.number * 1000 + place)
            if self._plan.warm:
                client.checked(self._request)
            self._ready.wait()
            self._go.wait()
            _loop(client, self._request, result, self._plan)
            result.received = client.received
            client.close()
        except threading.BrokenBarrierError:
            return
        except Exception as error:  # noqa: BLE001 - told to the parent
            self._problems.append(error)
            self._ready.abort()


def _loop(client: Client, request: Request, result: Measured, plan: Plan) -> None:
    clock, latencies = time.perf_counter, result.latencies
    now = began = clock()
    while now - began < plan.seconds or len(latencies) < plan.least:
        client.checked(request)
        done = clock()
        latencies.append(done - now)
        now = done


# --- what the generator costs by itself -------------------------------------------------------------------------

_ECHO = b"HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\nResponseStatusType:Success " + b"." * 9


def own_cost(target: Target, context: ssl.SSLContext, request: Request, seconds: float = 1.0) -> float:
    """CPU seconds of the generator for one request, against a server that answers a fixed text.

    Args:
        target: certificates of the client; its port is replaced.
        context: of a server.
        request: small; its answer is not the server's.
        seconds: how long.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = _fork.Process(target=_echo, args=(listener, context, request.size), daemon=True)
    server.start()
    listener.close()
    try:
        here = Target(port, target.ca, target.certificate, target.key)
        idle = run(here, request, Plan(1, 0.0))
        busy = run(here, request, Plan(1, seconds))
        return (busy.cpu - idle.cpu) / max(1, len(busy.latencies) - len(idle.latencies))
    finally:
        server.terminate()
        server.join()


def _echo(listener: socket.socket, context: ssl.SSLContext, size: int) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer_all, args=(context.wrap_socket(connection, server_side=True), size)).start()


def _answer_all(connection: ssl.SSLSocket, size: int) -> None:
    buffer = bytearray(BLOCK)
    with suppress(OSError):
        while True:
            left = size
            while left:
                count = connection.recv_into(buffer, left)
                if not count:
                    return
                left -= count
            connection.sendall(_ECHO)
