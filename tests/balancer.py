"""A TCP load balancer in a thread: connections go round robin to servers, TLS passes through.

As the usual ones do, it knows nothing of HTTP. A server that refuses a connection, or gives it up before it has said a
single octet, is left out for a moment, and the connection goes to the next one: what the client has sent until then is
the beginning of a TLS handshake, and no request.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Self

CHUNK = 1 << 16
OUT_SECONDS = 0.5
PATIENCE_SECONDS = 30.0

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Balancer:
    """Listens on a loopback port.

    Args:
        port: where clients connect.
        servers: the ports of the servers.

    Attributes:
        served: connections that each server answered.
        refused: connections that each server refused.
        dropped: connections that each server took and gave up without a word.
    """

    def __init__(self, port: int, servers: list[int]) -> None:
        self.port = port
        self.served: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.dropped: Counter[int] = Counter()
        self._turns = itertools.cycle([servers[n:] + servers[:n] for n in range(len(servers))])
        self._out: dict[int, float] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"balancer {port}", daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the balancer did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # transports close in the next turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError), closing(writer):
            greeting = await reader.read(CHUNK)
            server, answer = await self._answered(greeting) if greeting else (None, b"")
            if server is not None:
                with closing(server[1]):
                    writer.write(answer)
                    await asyncio.gather(_pump((reader, writer), server), _pump(server, (reader, writer)))

    async def _answered(self, greeting: bytes) -> tuple[Ends | None, bytes]:
        """Connect to the next server that answers the client's first octets."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for port in self._order():
                server, answer = await self._try(port, greeting)
                if answer:
                    self.served[port] += 1
                    return server, answer
                self._out[port] = time.monotonic() + OUT_SECONDS
            await asyncio.sleep(OUT_SECONDS / 5)
        return None, b""

    def _order(self) -> Iterator[int]:
        """The servers that are not left out, the one whose turn it is first."""
        return (port for port in next(self._turns) if self._out.get(port, 0.0) < time.monotonic())

    async def _try(self, port: int, greeting: bytes) -> tuple[Ends | None, bytes]:
        try:
            server = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            self.refused[port] += 1
            return None, b""
        server[1].write(greeting)
        with suppress(OSError):
            answer = await server[0].read(CHUNK)
            if answer:
                return server, answer
        self.dropped[port] += 1
        server[1].close()
        return None, b""


async def _pump(source: Ends, sink: Ends) -> None:
    """Hand on what one side says until it has no more to say, and then tell the other."""
    try:
        while data := await source[0].read(CHUNK):
            sink[1].write(data)
            await sink[1].drain()
        if sink[1].can_write_eof():
            sink[1].write_eof()
    except OSError:
        for end in (source, sink):
            end[1].transport.abort()
