"""The HTTP side of an exchange under WSGI (PEP 3333): the request's octets, the answer's, and the record of both."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any

from xds.errors import SoapFault
from xds.messages import Caller
from xds.soap.mime import CHUNK, limit_fault
from xds.transactions import Actor, Transaction

log = logging.getLogger(__name__)

_LINGER_SECONDS, _LINGER_OCTETS = 1.0, 64 << 20  # the server itself goes on a little, without a thread

Environ = Mapping[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


@dataclass
class Exchange:
    """One request and its answer, as log and audit see it; handed to the observer when it has ended.

    Attributes:
        actor: whose endpoint was called.
        address: network address of the immediate peer.
        transaction: once known.
        caller: once known.
        message_id: wsa:MessageID made safe for a log line, or one of our own.
        status: HTTP status of the answer.
        outcome: Success, Partial or Failure; `fault` and its code; `aborted` if the answer did not get through whole.
        duration: seconds from the request's header to the answer's last octet.
        request: what the actor was handed, once decoded; documents in it have been read.
        answer: what the actor answered.
        error: what the actor or the pipeline did not foresee.
    """

    actor: Actor
    address: str
    transaction: Transaction | None = None
    caller: Caller | None = None
    message_id: str = ""
    status: int = 0
    outcome: str = ""
    duration: float = 0.0
    request: object = None
    answer: object = None
    error: BaseException | None = None
    started: float = field(default_factory=time.perf_counter)


Observe = Callable[[Exchange], None]


def log_exchange(exchange: Exchange) -> None:
    """The default observer: a line in the log, without patient data."""
    log.info(
        "%s %s: %s in %.1f ms, message %s, from %s",
        exchange.transaction.number if exchange.transaction else "-",
        exchange.actor,
        exchange.outcome,
        exchange.duration * 1000,
        exchange.message_id or "-",
        exchange.caller.name if exchange.caller else exchange.address,
    )


class RequestBody:
    """The request's octets, never beyond their end.

    Args:
        environ: of WSGI.
        limit: octets the body may have; one that announces more is refused without being read.

    Raises:
        SoapFault: the announced length is none, or beyond the limit (HTTP 413).
    """

    def __init__(self, environ: Environ, limit: int) -> None:
        self._source = environ["wsgi.input"]
        self._left = _announced(environ)
        self._length = self._left
        self._ended = self._left == 0
        self._failed = False
        self._limit = limit

    def check_length(self) -> None:
        """Refuse a body that announces more than the limit.

        Raises:
            SoapFault: Sender with HTTP 413.
        """
        if self._length is not None and self._length > self._limit:
            raise limit_fault(f"Content-Length {self._length}", self._limit, "message")

    def read(self, size: int = CHUNK, /) -> bytes:
        """Read at most `size` octets, b"" at the end.

        Raises:
            SoapFault: the body ends before its announced length, or the connection broke.
        """
        if self._ended:
            return b""
        wanted = size if self._left is None else min(size, self._left)
        try:
            data: bytes = self._source.read(wanted)
        except Exception as error:  # the server's own classes: timeouts, bad chunks, broken connections
            self._failed = self._ended = True
            raise SoapFault("Sender", "the request's body is broken off or wrongly chunked") from error
        self._count(len(data))
        return data

    def _count(self, received: int) -> None:
        if not received:
            self._ended = True
            if self._left:
                self._failed = True
                got = (self._length or 0) - self._left
                raise SoapFault("Sender", f"the request ends after {got} of {self._length} octets")
        elif self._left is not None:
            self._left -= received
            self._ended = self._left == 0

    def drain(self, most: int) -> bool:
        """Read on to the end if that is near; tell whether the connection can carry another request.

        Args:
            most: octets to be read at most. If more are known to come none is read: the peer may be waiting for the
                answer.
        """
        if self._left is not None and self._left > most:
            return False
        with suppress(SoapFault):
            while not self._ended and most > 0:
                most -= len(self.read(min(CHUNK, most)))
        return self._ended and not self._failed


def _announced(environ: Environ) -> int | None:
    """Content-Length; None if the server tells the end by itself (chunked), 0 if there is no body."""
    length = (environ.get("CONTENT_LENGTH") or "").strip()
    if environ.get("HTTP_TRANSFER_ENCODING") or not length:
        return None if environ.get("wsgi.input_terminated") else 0
    if not (length.isascii() and length.isdigit()):
        raise SoapFault("Sender", "Content-Length is no number")
    return int(length)


class Reply:
    """The answer's octets as WSGI servers want them: iterated once, then closed, whatever happened in between.

    A body that fails on its way raises, so that the server breaks the connection off: it must not look whole.

    Args:
        chunks: the octets.
        closing: closed at the end: documents' streams, what was put aside of the request.
        ended: told at the end whether all octets were taken.
        linger_on: environ of a request that was not read to its end, see `linger`.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        closing: ExitStack | None = None,
        ended: Callable[[bool], None] | None = None,
        linger_on: Environ | None = None,
    ) -> None:
        self._chunks = chunks
        self._closing = closing or ExitStack()
        self._ended = ended
        self._linger_on = linger_on
        self._whole = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        self._whole = True

    def close(self) -> None:
        """End the exchange; a second time does nothing."""
        ended, self._ended = self._ended, None
        try:
            self._closing.close()
        except Exception:
            log.exception("closing after an answer failed")
        if ended is not None:
            ended(self._whole)
        environ, self._linger_on = self._linger_on, None
        if environ is not None:
            linger(environ)


def linger(environ: Environ) -> None:
    """Read on for a while after the last answer of a connection (RFC 9112, 9.6).

    Closing with octets unread resets the connection, and a peer that is still sending might never see the answer.
    """
    connection: Any = environ.get("gunicorn.socket")
    deadline, left = time.monotonic() + _LINGER_SECONDS, _LINGER_OCTETS
    with suppress(OSError, ValueError, AttributeError):
        while left > 0 and (seconds := deadline - time.monotonic()) > 0:
            connection.settimeout(seconds)
            data = connection.recv(CHUNK)
            if not data:
                return
            left -= len(data)


@cache
def status_line(status: int) -> str:
    """`404 Not Found` for 404."""
    return f"{status} {HTTPStatus(status).phrase}"


def close_connection(start_response: StartResponse) -> None:
    """Ask the server to close the connection after this answer.

    WSGI has no word for it (hop-by-hop fields are the server's, PEP 3333); gunicorn's response object has one. Other
    servers close a connection whose request was not read to its end by themselves, or do not keep it alive.
    """
    response = getattr(start_response, "__self__", None)
    force_close = getattr(response, "force_close", None)
    if force_close is not None:
        force_close()
