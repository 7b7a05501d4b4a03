"""What is measured against: databases, store, the product's server and the floor's, each made for one run and removed.

PostgreSQL and S3 are taken from XDS_TEST_POSTGRES and XDS_TEST_S3, or started by tools/services.sh; a database and a
bucket of our own are made in them. SQLite and the directory live in the temporary directory.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import urllib3
from generator import Target
from minio import Minio
from minio.deleteobjects import DeleteObject
from sqlalchemy.engine import make_url

from repository.storage import s3url
from xds import app, config
from xds.config import Settings
from xds.transactions import Actor

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Processes:
    """A server's processes, as /proc shows them.

    Attributes:
        master: its process id.
        log: what it wrote.
    """

    master: int
    log: Path
    started: float = 0.0

    def pids(self) -> list[int]:
        """The master and its workers."""
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        return [self.master, *map(int, children)]

    def cpu(self) -> float:
        """CPU seconds of all of them so far, user and system."""
        return sum(_cpu(pid) for pid in self.pids())

    def reset_peak(self) -> None:
        """Let the kernel forget the peaks of memory so far."""
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def memory(self) -> dict[int, tuple[int, int]]:
        """Of each process the resident octets now, and their peak since `reset_peak`."""
        status = {pid: Path(f"/proc/{pid}/status").read_text() for pid in self.pids()}
        return {pid: (_kilobytes(text, "VmRSS"), _kilobytes(text, "VmHWM")) for pid, text in status.items()}


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _kilobytes(status: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


@dataclass
class Stack:
    """Both servers on one database and one store.

    Attributes:
        name: `PostgreSQL + S3` or `SQLite + directory`.
        settings: of the product's server.
        server: the product's processes.
        floor: the floor's.
        targets: where both listen, in the same order.
    """

    name: str
    settings: Settings
    server: Processes
    floor: Processes
    targets: tuple[Target, Target]
    notes: dict[str, float] = field(default_factory=dict)


def clean_up_on_sigterm() -> None:
    """Let SIGTERM end this program as Ctrl-C does, so that servers, databases and buckets of ours go too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def prepared(kind: str) -> Iterator[Path]:
    """Make what `xds init` makes, on fresh databases and a fresh store; yields the settings file.

    Args:
        kind: `sqlite` or `postgres`.
    """
    with ExitStack() as closing:
        directory = Path(tempfile.mkdtemp(prefix="xds-bench-"))
        closing.callback(shutil.rmtree, directory, ignore_errors=True)
        options = ["--port", str(free_port())]
        if kind == "postgres":
            services = environment()
            options += ["--database", closing.enter_context(fresh_database(services["XDS_TEST_POSTGRES"]))]
            options += ["--store", closing.enter_context(_fresh_bucket(services["XDS_TEST_S3"]))]
        node = directory / "node"
        subprocess.run(
            [*_XDS, "init", str(node), *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        yield node / "xds.toml"


_XDS = (sys.executable, "-m", "xds")


def environment() -> dict[str, str]:
    """Where PostgreSQL and S3 are; services.sh starts what the environment does not name."""
    names = ("XDS_TEST_POSTGRES", "XDS_TEST_S3")
    if all(os.environ.get(name) for name in names):
        return {name: os.environ[name] for name in names}
    script = str(ROOT / "tools" / "services.sh")
    subprocess.run([script, "start", "postgres", "minio"], check=True, stdout=sys.stderr)
    told = subprocess.run([script, "env"], check=True, capture_output=True, text=True).stdout
    pairs = (word.partition("=") for line in told.splitlines() for word in shlex.split(line) if "=" in word)
    return {name: value for name, _, value in pairs}


def services(kind: str, *, s3: bool = True) -> dict[str, str]:
    """What the figures of a run depend on besides the machine, for `report.machine`.

    Args:
        kind: `sqlite` or `postgres`.
        s3: documents are stored, too.
    """
    if kind != "postgres":
        return {"sqlite": f"SQLite {sqlite3.sqlite_version}"}
    where = environment()
    database = {"postgresql": _postgres_settings(where["XDS_TEST_POSTGRES"])}
    return database | {"s3": _s3_name(where["XDS_TEST_S3"])} if s3 else database


def _postgres_settings(url: str) -> str:
    """Version, and what decides how much is in memory and whether a commit is on the disk."""
    with psycopg.connect(_admin(url)) as conn:
        version = conn.info.parameter_status("server_version") or "?"
        names = ("shared_buffers", "fsync", "synchronous_commit")
        said = [f"{name} {conn.execute(f'SHOW {name}').fetchall()[0][0]}" for name in names]
    return f"PostgreSQL {version.split()[0]} ({', '.join(said)})"


def _s3_name(url: str) -> str:
    """What the store calls itself: its program, and its release if it tells."""
    address = s3url.parse(url)
    with suppress(urllib3.exceptions.HTTPError):
        where = f"{'https' if address.secure else 'http'}://{address.endpoint}/"
        return urllib3.request("HEAD", where, retries=False, timeout=10).headers.get("Server", "S3")
    return "S3"


def _admin(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def fresh_database(url: str, name: str = "") -> Iterator[str]:
    """Make a PostgreSQL database and drop it in the end; yields its URL."""
    name = name or f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(_admin(url), autocommit=True) as conn:
        conn.execute(f'CREATE DATABASE "{name}"')
        try:
            yield make_url(url).set(database=name).render_as_string(hide_password=False)
        finally:
            conn.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def _fresh_bucket(url: str) -> Iterator[str]:
    """Make a bucket and remove it with all that is in it; yields the store's URL."""
    bucket = f"bench-{uuid.uuid4().hex[:12]}"
    ours = f"{url.rpartition('/')[0]}/{bucket}"
    address = s3url.parse(ours)
    keys = address.credentials
    client = Minio(address.endpoint, keys.access_key, keys.secret_key, secure=address.secure)
    client.make_bucket(bucket)
    try:
        yield ours
    finally:
        found = (DeleteObject(item.object_name or "") for item in client.list_objects(bucket, recursive=True))
        for error in client.remove_objects(bucket, found):
            print(error, file=sys.stderr)
        client.remove_bucket(bucket)


@contextmanager
def running(kind: str, path: Path, workers: int) -> Iterator[Stack]:
    """Start both servers on prepared settings, and end them.

    Args:
        kind: `sqlite` or `postgres`.
        path: the settings file.
        workers: worker processes of each.
    """
    settings = config.load(path)
    tls, port, floor_port = settings.tls, settings.server.port, free_port()
    if tls is None:
        raise ValueError(f"{path} has no [tls]")
    certs = tls.certificate.parent
    targets = [
        Target(at, str(tls.ca), str(certs / "client.pem"), str(certs / "client.key")) for at in (port, floor_port)
    ]
    with ExitStack() as closing:
        ours = [*_XDS, "serve", "-c", str(path), "--workers", str(workers)]
        server = closing.enter_context(_process(ours, path.parent / "server.log", targets[0]))
        bare = [sys.executable, str(ROOT / "bench" / "floor.py"), str(path), str(floor_port), str(workers)]
        floor = closing.enter_context(_process(bare, path.parent / "floor.log", targets[1]))
        name = "PostgreSQL + S3" if kind == "postgres" else "SQLite + directory"
        yield Stack(name, settings, server, floor, (targets[0], targets[1]), {"first answer": server.started})


@contextmanager
def _process(command: list[str], log: Path, target: Target) -> Iterator[Processes]:
    began = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        _wait(process, log, target)
        yield Processes(process.pid, log, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(40)
        process.kill()


def _wait(process: subprocess.Popen[bytes], log: Path, target: Target) -> None:
    """Until something answers over mutual TLS."""
    context = target.context()
    for _ in range(1500):
        if process.poll() is not None:
            break
        with suppress(OSError), socket.create_connection(("127.0.0.1", target.port), timeout=20) as raw:
            if _answers(context, raw):
                return
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-3000:]}")


def _answers(context: ssl.SSLContext, raw: socket.socket) -> bool:
    with context.wrap_socket(raw) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return bool(sock.recv(1))


def database_urls(settings: Settings) -> list[str]:
    """URLs of both actors' databases."""
    return [app.database_url(settings, actor) for actor in Actor]
