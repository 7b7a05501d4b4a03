"""The server process: listening socket, TLS, worker processes (gunicorn, `xds.worker`), an orderly end.

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
import gc
import logging
import math
import os
import resource
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from xds import app, database
from xds.app import Choice
from xds.config import Settings
from xds.migrate import DatabaseError, words
from xds.security.tls import TLSConfigurationError, server_context
from xds.soap.sockets import Patient, TLSSocket
from xds.worker import Worker

log = logging.getLogger(__name__)

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

KEEP_ALIVE_SECONDS = 75
HEARTBEAT_SECONDS = 120
"""A worker whose main thread does not run for so long is taken for dead."""
HEADER_OCTETS = 32 * 1024
"""A header may hold a certificate of 16 KiB (`xds.security.tls`), and more once it is URL-encoded."""
BACKLOG = 2048
WORKER_CONNECTIONS = 2000
FILES, FILES_OF_A_THREAD = 128, 8
"""What a worker may have open beside its connections: for itself, and for each thread's databases, stores and files."""
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
    context.sslsocket_class = TLSSocket
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


def _connections(threads: int) -> int:
    """How many connections a worker may have: with the files it may have open, once it may have as many as allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # where "as many as you like" is more than the system can
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(WORKER_CONNECTIONS, 4 * threads)
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(min(wanted, files - FILES - FILES_OF_A_THREAD * threads), threads + 1)


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
        Patient.seconds = settings.server.idle_seconds
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
            log.critical("the worker cannot start: %s", error, exc_info=True)
            sys.exit(Arbiter.APP_LOAD_ERROR)

    def _options(self) -> dict[str, Any]:
        server = self._settings.server
        options: dict[str, Any] = {
            "bind": [f"fd://{self._fd}"],
            "workers": server.workers,
            "threads": server.threads,
            "worker_class": Worker,
            "worker_connections": _connections(server.threads),
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
        gc.collect()
        gc.freeze()  # what stands by now will stay, and need not be looked through again and again
        if worker.age == 1:  # the first one, once in the life of the server
            urls = " ".join(app.endpoints(self._settings, self._choice).values())
            os.write(sys.stderr.fileno(), f"xds: ready: {urls}\n".encode())
