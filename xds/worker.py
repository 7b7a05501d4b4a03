"""A worker process of the server (gunicorn's `gthread`): its connections, and who holds a thread for how long.

gunicorn gives every new connection a thread, in which it waits for the first octets, for the TLS handshake and for the
request; and it waits in its main thread for the peer to close. A handful of idle connections, even of strangers, would
keep everyone else out. Here connections wait in the poller, and a thread takes the handshake only as far as what has
arrived allows.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Any

from gunicorn.http import get_parser, message, wsgi
from gunicorn.sock import ssl_wrap_socket
from gunicorn.workers.gthread import ThreadWorker

from xds.soap.sockets import Patient, PlainSocket

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.2
"""How long no connection is accepted after one could not be."""
HANDSHAKE_SECONDS = 10
"""From a connection to the end of its TLS handshake."""
HEADER_SECONDS = 15
"""From a request's first octets to the end of its header."""
LEAVE_SECONDS = 2
"""How long a peer may take to close its side after the server has closed its own."""
MOMENT = 0.005
"""How long a thread that has answered waits for the connection's next request, in seconds."""
PIECE = 32 * 1024
"""Octets read at once of what nobody wants any more."""

Conn = Any
"""A connection: gunicorn's TConn, which has no types."""


class _Wants(Enum):
    """What a connection waits for before it can be handed to a thread again."""

    READ = selectors.EVENT_READ
    WRITE = selectors.EVENT_WRITE


class Request(message.Request):
    """gunicorn's request; nobody is a proxy of gunicorn's kind, and no request needs to ask whether its peer is."""

    def parse(self, unreader: Any) -> Any:
        """Read the header, whose time is bounded, and understand `Connection`: a list (RFC 9110, 7.6.1)."""
        unreader.sock.until = time.monotonic() + HEADER_SECONDS
        try:
            rest = super().parse(unreader)  # type: ignore[no-untyped-call]
        finally:
            unreader.sock.until = None
        options = ",".join(value for name, value in self.headers if name == "CONNECTION").lower().split(",")
        if "close" in map(str.strip, options):
            self.force_close()  # type: ignore[no-untyped-call]
        return rest

    def _peer_trusted_for_forwarded(self) -> tuple[dict[str, str], list[str]]:
        return {}, []


class Response(wsgi.Response):
    """gunicorn's answer, whose header leaves with the first octets of the body: one TLS record, one segment."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]
        self._head = b""

    def send_headers(self) -> None:
        """Keep the header until there is something to send with it."""
        if not self.headers_sent:
            lines = self.default_headers()  # type: ignore[no-untyped-call]
            lines += [f"{name}: {value}\r\n" for name, value in self.headers]
            self._head = "".join([*lines, "\r\n"]).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        head, self._head = self._head, b""
        framed = b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data
        self.sock.sendall(head + framed)

    def close(self) -> None:
        """Send what is left: the header if there is no body, the end of a chunked body."""
        self.send_headers()
        if self._head:
            self.sock.sendall(self._head)
        super().close()  # type: ignore[no-untyped-call]


class Worker(ThreadWorker):
    """gunicorn's threaded worker, in which nobody holds a thread who has not begun a request.

    A connection costs more on its way from thread to poller and back than a small request does. So a thread that has
    answered waits a moment for the next request, as long as half of the threads are free for other connections.
    """

    poller: Any
    _notify_at = 0.0
    _accept_at = 0.0
    _busy = 0
    """Connections in the hands of a thread, or waiting for one; known to the main thread."""

    def init_process(self) -> None:
        """Begin, in the worker; its settings are fixed now, and reading one need not go through gunicorn's classes."""
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()  # type: ignore[no-untyped-call]

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection; where there is no room for one, let them wait a little."""
        try:
            super().accept(listener)  # type: ignore[no-untyped-call]
        except OSError as error:
            log.warning("new connections have to wait: %s", error.strerror)
            self._accept_at = time.monotonic() + PAUSE_SECONDS
            self.set_accept_enabled(False)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or cease to accept connections; the main thread asks for it in each of its rounds."""
        super().set_accept_enabled(enabled and time.monotonic() >= self._accept_at)  # type: ignore[no-untyped-call]

    def enqueue_req(self, conn: Conn) -> None:
        """Hand a connection to a thread; a new one waits for its first octets first."""
        if isinstance(conn.sock, Patient):
            self._busy += 1
            super().enqueue_req(conn)  # type: ignore[no-untyped-call]
            return
        conn.sock = PlainSocket(fileno=conn.sock.detach())
        patience = min(HANDSHAKE_SECONDS, Patient.seconds) if self.cfg.is_ssl else self.cfg.keepalive
        conn.timeout = time.monotonic() + patience
        self._wait(conn, _Wants.READ, self.on_pending_socket_readable)

    def handle(self, conn: Conn) -> Any:
        """Go on with the handshake, then serve requests as long as one follows the other; in a thread."""
        result = self._open(conn) if conn.parser is None else self._serve(conn)
        while result is True and self._goes_on(conn):
            result = self._serve(conn)
        return result

    def _open(self, conn: Conn) -> Any:
        """Make a connection ready for requests; True when it is."""
        result = self._shake_hands(conn) if self.cfg.is_ssl else True
        if result is True:
            conn.parser = get_parser(conn.cfg, conn.sock, conn.client)  # type: ignore[no-untyped-call]
            conn.parser.mesg_class = Request
            conn.init()
        return result

    def _serve(self, conn: Conn) -> Any:
        """Answer a request if one has begun; True if the connection is to wait for more."""
        try:
            has_begun = _has_begun(conn)
        except OSError as error:
            log.debug("connection with %s: %s", conn.client[0], error)
            return False
        return super().handle(conn) if has_begun else True  # type: ignore[no-untyped-call]

    def _goes_on(self, conn: Conn) -> bool:
        """Wait a moment for the next request."""
        if self._busy > self.cfg.threads // 2 or not self.alive:
            return False
        return _has_buffered(conn) or bool(conn.sock.is_ready(MOMENT))

    def handle_request(self, req: Any, conn: Conn) -> bool:
        """Answer a request, and say whether the connection is kept; gunicorn's, less the hooks and the access log."""
        response, environ = wsgi.create(  # type: ignore[no-untyped-call]
            req, conn.sock, conn.client, conn.server, self.cfg, response_class=Response
        )
        environ["wsgi.multithread"] = True
        if not self.alive or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        try:
            self._answer(environ, response)
        except OSError:
            raise
        except Exception:
            if not response.headers_sent:
                raise
            log.exception("an answer broke off")  # an error page in the midst of it would make it look whole
            return False
        return not response.should_close()

    def _answer(self, environ: dict[str, Any], response: Response) -> None:
        chunks = self.wsgi(environ, response.start_response)
        try:
            for chunk in chunks:
                response.write(chunk)  # type: ignore[no-untyped-call]
            response.close()
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    def finish_request(self, conn: Conn, fs: Future[Any]) -> None:
        """Let a connection wait for what comes next, or end it; in the main thread."""
        self._busy -= 1
        result = None if fs.cancelled() or fs.exception() else fs.result()
        if isinstance(result, _Wants) and time.monotonic() < conn.timeout:
            self._wait(conn, result, self.on_pending_socket_readable)
        elif result is not True:
            self._take_leave(conn)
        elif _has_buffered(conn):
            self.enqueue_req(conn)
        else:
            super().finish_request(conn, fs)  # type: ignore[no-untyped-call]

    def notify(self) -> None:
        """Tell the master that this worker lives: once a second does, once for every event is dear."""
        now = time.monotonic()
        if now >= self._notify_at:
            self._notify_at = now + 1
            super().notify()  # type: ignore[no-untyped-call]

    def murder_pending(self) -> None:
        """End connections that waited too long for a handshake, a first request or the peer's leave."""
        now = time.monotonic()
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            self._drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)  # type: ignore[no-untyped-call]
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)
        for listener in self.sockets:  # or new clients would wait in vain, where they could go to another node
            listener.close()

    def _shake_hands(self, conn: Conn) -> Any:
        """Take the handshake a step further; True when it is done, False when it failed."""
        try:
            if not isinstance(conn.sock, ssl.SSLSocket):
                conn.sock = ssl_wrap_socket(conn.sock, conn.cfg)  # type: ignore[no-untyped-call]
            conn.sock.do_handshake()
        except ssl.SSLWantReadError:
            return _Wants.READ
        except ssl.SSLWantWriteError:
            return _Wants.WRITE
        except OSError as error:
            log.info("no connection with %s: %s", conn.client[0], error)
            return False
        return True

    def _wait(self, conn: Conn, event: _Wants, then: Callable[[Conn, socket.socket], None]) -> None:
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, event.value, partial(then, conn))
        self.pending_conns.append(conn)

    def _take_leave(self, conn: Conn) -> None:
        """End a connection so that what was sent last arrives: what came in unread would reset it (RFC 9112, 9.6)."""
        conn.timeout = time.monotonic() + LEAVE_SECONDS
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            self._wait(conn, _Wants.READ, self._discard)
        except (OSError, ValueError):  # the peer is gone, or a thread has closed the socket
            self.nr_conns -= 1
            conn.close()

    def _discard(self, conn: Conn, sock: socket.socket) -> None:
        with suppress(OSError):
            if sock.recv(PIECE):
                return
        self._drop(conn)

    def _drop(self, conn: Conn) -> None:
        self.pending_conns.remove(conn)
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()


def _has_begun(conn: Conn) -> bool:
    """Read what has arrived, and tell whether it begins a request; empty lines before one do not (RFC 9112, 2.2).

    Raises:
        OSError: the connection has ended.
    """
    unreader = conn.parser.unreader
    held: bytes = unreader.take_buffered().lstrip(b"\r\n")
    if not held:
        arrived = conn.sock.recv_arrived(unreader.mxchunk)
        if arrived == b"":
            raise ConnectionResetError(errno.ECONNRESET, "the peer has closed it")
        held = (arrived or b"").lstrip(b"\r\n")
    unreader.unread(held)
    return bool(held)


def _has_buffered(conn: Conn) -> bool:
    """Whether octets have been read, or decrypted, that belong to the next request: the poller would not see them."""
    is_decrypted = isinstance(conn.sock, ssl.SSLSocket) and conn.sock.pending() > 0
    return is_decrypted or bool(conn.parser.unreader.buf.getvalue().lstrip(b"\r\n"))
