"""A directory of one's own and a server in it, for `xds demo`: made, or used again; on a port that is free."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xds.commands import init
from xds.commands.common import DONE, CommandError, terminal
from xds.config import DEFAULT_PORT, ConfigurationError, load
from xds.security.tls import TLSConfigurationError, certificate_report

START_SECONDS, STOP_SECONDS = 60, 40
LOG = "server.log"
_ATTEMPTS = 5
_PORTS = range(20_000, 32_000)  # below those that outgoing connections take
_TAKEN = "xds: cannot listen on"


class NotStarted(CommandError):  # noqa: N818 - says what is the case
    """The server ended before it was ready."""


def prepare(directory: Path) -> Path:
    """Make the directory, or use again what an earlier run has made.

    Returns:
        The settings' file.

    Raises:
        CommandError: there is something else.
    """
    for name in [name for name in os.environ if re.match(r"XDS_[A-Z]+__", name)]:
        del os.environ[name]  # the settings are those of the directory alone
    config = directory / init.SETTINGS
    if config.exists() and not _is_fit(config):
        _clear(directory)
    if not config.exists():
        say(f"xds init {shlex.quote(str(directory))}")
        init.write(directory)
    return config


def say(command: str) -> None:
    """Show a command as a person would type it."""
    terminal.say(f"$ {command}")


def _is_fit(config: Path) -> bool:
    """Tell whether an earlier run's settings and certificates can still be used."""
    try:
        settings = load(config)
        return settings.tls is not None and certificate_report(settings.tls.certificate).days_left > 0
    except (ConfigurationError, TLSConfigurationError):
        return False


def _clear(directory: Path) -> None:
    if not (directory / LOG).exists():
        raise CommandError(
            f"{directory} is no directory of an earlier demo, and its settings cannot be used; choose another --dir"
        )
    shutil.rmtree(directory)


@contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `xds serve` as a process of its own; it ends with SIGTERM, as under an init system."""
    say(f"xds serve -c {config}")
    server = _start(config)
    try:
        yield server
    finally:
        _stop(server)
    if server.returncode != DONE:
        raise CommandError(f"the server ended with exit code {server.returncode}; see {config.parent / LOG}")


def _start(config: Path) -> subprocess.Popen[bytes]:
    """Start the server; on another port if somebody takes ours in between."""
    for attempt in range(1, _ATTEMPTS + 1):
        _choose_port(config)
        try:
            return _launch(config)
        except NotStarted as error:
            if _TAKEN not in str(error) or attempt == _ATTEMPTS:
                raise
    raise AssertionError  # the last attempt returned or raised


def _launch(config: Path) -> subprocess.Popen[bytes]:
    log = config.parent / LOG
    command = [sys.executable, "-m", "xds", "serve", "-c", str(config)]
    path = os.pathsep.join(filter(None, sys.path))  # a checkout that is not installed is found too
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ | {"PYTHONPATH": path}
        )
    try:
        _wait_until_ready(server, log)
    except BaseException:
        _stop(server)
        raise
    return server


def _wait_until_ready(server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        ended = server.poll() is not None
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if ready := next((line for line in lines if line.startswith("xds: ready:")), None):
            terminal.say(ready)
            return
        if ended or time.monotonic() > deadline:
            raise NotStarted("\n".join(["the server did not start:", *lines]))
        time.sleep(0.05)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(STOP_SECONDS)
    if server.poll() is None:
        server.kill()
        server.wait()


def _choose_port(config: Path) -> None:
    """Keep the port if it is free, else write another one into the settings."""
    old = load(config).server.port
    new = next(port for port in (old, DEFAULT_PORT, *random.sample(_PORTS, len(_PORTS))) if _is_free(port))
    if new != old:
        text = re.sub(rf"^port = {old}$", f"port = {new}", config.read_text(encoding="utf-8"), flags=re.MULTILINE)
        config.write_text(text.replace(f"://localhost:{old}/", f"://localhost:{new}/"), encoding="utf-8")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait(server: subprocess.Popen[bytes]) -> None:
    """Until Ctrl-C or SIGTERM, or the server's own end."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    terminal.say("Serving until Ctrl-C ...")
    with suppress(KeyboardInterrupt):
        server.wait()
