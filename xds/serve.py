"""The server process: listening socket, TLS, worker processes (gunicorn, gthread), an orderly end.

1  read what can be wrong: certificates, codes.xml, databases, store          -> one line and exit code 1
2  take the port
3  bring the databases up to date; connections are closed again, for a fork must not share them
4  fork workers; each makes its own actors and connections
5  the first worker able to answer says so, one line on stderr
6  SIGTERM: no new connections, requests under way end, exit code 0

The TLS context is made once, before the fork: gunicorn asks for it at every connection, and workers that share it share
session tickets.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import TConn, ThreadWorker

from xds import app, database
from xds.app import Choice
from xds.config import Settings
from xds.migrate import DatabaseError, words
from xds.security.tls import TLSConfigurationError, server_context

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

KEEP_ALIVE_SECONDS = 75
HEARTBEAT_SECONDS = 120
"""A worker whose main thread does not run for so long is taken for dead."""
HEADER_OCTETS = 32 * 1024
"""A header may hold a certificate of 16 KiB (`xds.security.tls`), and more once it is URL-encoded."""
BACKLOG = 2048
WORKER_CONNECTIONS = 2000
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class StartError(Exception):
    """The server cannot start; the text says why, in one line."""


def serve(settings: Settings, choice: Choice = Choice.ALL) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StartError: it cannot start.
        ConfigurationError: the settings do not fit together.
        SystemExit: the end; exit code 0 after a signal, 1 after a failure.
    """
    _log_to_stderr(settings.server.log_level)
    context = _context(settings)
    app.check(settings, choice)
    listener = listen(settings.server.host, settings.server.port)
    _migrate(settings, choice)
    master = os.getpid()
    try:
        _Server(settings, choice, context, listener).run()  # type: ignore[no-untyped-call]
    except SystemExit as end:
        if os.getpid() != master:
            raise  # a worker; its exit code tells the master why
        raise SystemExit(1 if end.code else 0) from None


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(level=level.upper(), format=LOG_FORMAT)
    if level != "debug":
        for talkative in ("alembic", "spyne"):
            logging.getLogger(talkative).setLevel(logging.WARNING)


def _context(settings: Settings) -> ssl.SSLContext | None:
    tls = app.tls_settings(settings)
    if tls is None:
        return None
    try:
        context = server_context(tls)
    except TLSConfigurationError as error:
        raise StartError(str(error)) from None
    context.sslsocket_class = _TLSSocket
    return context


def listen(host: str, port: int) -> socket.socket:
    """Take the port; connections wait from now on until a worker is there.

    Raises:
        StartError: it is taken, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=dual)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: "another program listens there; end it, or choose another [server] port",
            errno.EADDRNOTAVAIL: "this machine has no such address; change [server] host",
            errno.EACCES: "this user may not listen there; choose a port above 1023",
        }
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
        raise StartError(f"cannot listen on {host} port {port}: {reason}") from None


def _migrate(settings: Settings, choice: Choice) -> None:
    for actor in choice.actors:
        engine = app.engine(settings, actor)
        try:
            app.SCHEMAS[actor].upgrade(engine)
        except DatabaseError as error:
            where = database.describe(app.database_url(settings, actor))
            raise StartError(f"database of the {actor}, {where}: {words(error)}") from error
        finally:
            engine.dispose()


class _Timed:
    """Gives up a peer that neither sends nor takes anything, so that it cannot hold a thread for ever.

    gunicorn switches its sockets between blocking and not; blocking here means waiting for `seconds` at most.
    """

    seconds: ClassVar[float] = 60.0

    def setblocking(self, flag: bool) -> None:
        self.settimeout(self.seconds if flag else 0.0)  # type: ignore[attr-defined]

    def recv(self, *args: Any) -> bytes:
        try:
            return super().recv(*args)  # type: ignore[misc, no-any-return]
        except TimeoutError:
            raise self._gone() from None

    def sendall(self, *args: Any) -> None:
        try:
            super().sendall(*args)  # type: ignore[misc]
        except TimeoutError:
            raise self._gone() from None

    def _gone(self) -> ConnectionResetError:
        return ConnectionResetError(errno.ECONNRESET, f"the peer was silent for {self.seconds:g} seconds")


class _PlainSocket(_Timed, socket.socket):
    """A connection before, or without, TLS."""


class _TLSSocket(_Timed, ssl.SSLSocket):
    """A connection with TLS."""


class _Worker(ThreadWorker):
    """gunicorn's threaded worker with timed sockets."""

    def enqueue_req(self, conn: TConn) -> None:
        """Hand a connection to a thread; called for new ones and for kept-alive ones with a further request."""
        if not isinstance(conn.sock, _Timed):
            conn.sock = _PlainSocket(fileno=conn.sock.detach())
        super().enqueue_req(conn)  # type: ignore[no-untyped-call]


class _Log(Logger):
    """gunicorn's messages, written as everything else is; no access log."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)  # type: ignore[no-untyped-call]
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Server(BaseApplication):
    """gunicorn, told our settings."""

    def __init__(
        self, settings: Settings, choice: Choice, context: ssl.SSLContext | None, listener: socket.socket
    ) -> None:
        self._settings = settings
        self._choice = choice
        self._context = context
        self._fd = listener.detach()
        _Timed.seconds = settings.server.idle_seconds
        super().__init__()  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        """Fill in gunicorn's settings; they are named in its documentation."""
        config: Any = self.cfg
        for name, value in self._options().items():
            config.set(name, value)

    def load(self) -> Wsgi:
        """Make the application, in a worker."""
        try:
            return app.application(self._settings, self._choice)
        except Exception as error:
            logging.getLogger(__name__).critical("the worker cannot start: %s", error, exc_info=True)
            sys.exit(Arbiter.APP_LOAD_ERROR)

    def _options(self) -> dict[str, Any]:
        server = self._settings.server
        options: dict[str, Any] = {
            "bind": [f"fd://{self._fd}"],
            "workers": server.workers,
            "threads": server.threads,
            "worker_class": _Worker,
            "worker_connections": max(WORKER_CONNECTIONS, 4 * server.threads),
            "keepalive": KEEP_ALIVE_SECONDS,
            "timeout": HEARTBEAT_SECONDS,
            "graceful_timeout": math.ceil(server.stop_seconds),
            "limit_request_field_size": HEADER_OCTETS,
            "forwarded_allow_ips": "",
            "control_socket_disable": True,
            "logger_class": _Log,
            "loglevel": server.log_level,
            "proc_name": f"xds {self._choice}",
            "post_worker_init": self._ready,
        }
        if Path("/dev/shm").is_dir():  # noqa: S108 - the workers' heartbeat must not wait for a disk
            options["worker_tmp_dir"] = "/dev/shm"  # noqa: S108
        if self._context and self._settings.tls:
            options |= {
                "certfile": str(self._settings.tls.certificate),
                "ssl_context": lambda _config, _default: self._context,
            }
        return options

    def _ready(self, worker: Worker) -> None:
        if worker.age == 1:  # the first one, once in the life of the server
            urls = " ".join(app.endpoints(self._settings, self._choice).values())
            os.write(sys.stderr.fileno(), f"xds: ready: {urls}\n".encode())
