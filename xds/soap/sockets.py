"""The server's connections: they wait for their peer up to a limit, and never within the kernel.

Python asks the kernel before each write whether there is room if a socket has a time limit, and gunicorn switches its
sockets between blocking and not several times for a request. These never block: what can be read or written at once
costs no other call, and only what cannot is waited for, here.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, ClassVar

_TLS_EVENTS: dict[type[OSError], int] = {ssl.SSLWantReadError: select.POLLIN, ssl.SSLWantWriteError: select.POLLOUT}
"""TLS may have to read before it can write, and the other way round."""
_NOT_YET = BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError
_SLICE = 64 * 1024
"""Octets handed over at once: TLS goes on with a write until all of it has left."""


class Patient:
    """Gives up a peer that neither sends nor takes anything, so that it cannot hold a thread for ever.

    A TLS handshake is not waited for: who shakes hands knows what for, and where to wait.
    """

    seconds: ClassVar[float] = 60.0
    """How long each read and write of a socket that is called blocking may wait."""
    until: float | None = None
    """When waiting ends in any case, however often something arrives; on the monotonic clock."""
    _patience: float | None = None

    def setblocking(self, flag: bool) -> None:
        """Let reads and writes wait `seconds`, or not at all."""
        self.settimeout(self.seconds if flag else 0.0)

    def settimeout(self, value: float | None) -> None:
        """Let each read and write wait so many seconds; None for any time."""
        if super().gettimeout() != 0:  # type: ignore[misc]
            super().settimeout(0)  # type: ignore[misc]
        self._patience = value

    def gettimeout(self) -> float | None:
        """How long a read or write may wait, in seconds."""
        return self._patience

    def recv_arrived(self, size: int) -> bytes | None:
        """Read what has arrived, without waiting; None if that is nothing, or no whole TLS record."""
        try:
            data: bytes = super().recv(size)  # type: ignore[misc]
        except _NOT_YET:
            return None
        return data

    def recv(self, *args: Any) -> bytes:
        """Read what has arrived.

        Raises:
            ConnectionResetError: nothing arrived for as long as a read may wait.
        """
        data: bytes = self._patiently(super().recv, select.POLLIN, *args)  # type: ignore[misc]
        return data

    def send(self, *args: Any) -> int:
        """Write what there is room for; errors as for `recv`."""
        sent: int = self._patiently(super().send, select.POLLOUT, *args)  # type: ignore[misc]
        return sent

    def sendall(self, data: Any, *args: Any) -> None:
        """Write all octets; each slice of them may wait anew."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(rest[:_SLICE], *args) :]

    def is_ready(self, seconds: float | None, event: int = select.POLLIN) -> bool:
        """Wait until there is something to read, the end included, or room to write; False if it took too long."""
        waiting = select.poll()
        waiting.register(self, event)  # type: ignore[arg-type]
        return bool(waiting.poll(None if seconds is None else seconds * 1000))

    def _patiently(self, act: Callable[..., Any], event: int, *args: Any) -> Any:
        deadline = None
        while True:
            try:
                return act(*args)
            except _NOT_YET as wants:
                if self._patience == 0:
                    raise
                wanted = _TLS_EVENTS.get(type(wants), event)
            deadline = deadline or self._deadline()
            if not self.is_ready(None if deadline is None else max(deadline - time.monotonic(), 0.0), wanted):
                raise ConnectionResetError(errno.ECONNRESET, self._words())

    def _deadline(self) -> float | None:
        patience = None if self._patience is None else time.monotonic() + self._patience
        return min(filter(None, (patience, self.until)), default=None)

    def _words(self) -> str:
        if self.until is not None and time.monotonic() >= self.until:
            return "the peer took too long"
        return f"the peer was silent for {self._patience:g} seconds"


class PlainSocket(Patient, socket.socket):
    """A connection before, or without, TLS."""


class TLSSocket(Patient, ssl.SSLSocket):
    """A connection with TLS."""
