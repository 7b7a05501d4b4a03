"""Both actors as `xds serve` runs them: processes, sockets, mutual TLS; one process or two, either pair of stores."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.request import HTTPSHandler, Request, build_opener

import pytest

from repository.storage import open_store
from xds.security.tls import TLSSettings, client_context
from xds.transactions import Actor

ROOT = Path(__file__).parents[1]
START_SECONDS = 60
STOP_SECONDS = 40
REPOSITORY_UNIQUE_ID = "2.25.113059749145936325402354257176981405696"
SOURCE_ID = "2.25.98714253901827364519283746501928374650"


class Arrangement(Enum):
    """How the actors are spread."""

    ONE_PROCESS = "one process"
    TWO_PROCESSES = "two processes"


class Stores(Enum):
    """Where they keep things."""

    EMBEDDED = "sqlite+directory"
    SERVICES = "postgresql+s3"


def postgres_url() -> str:
    """The test server's database, or skip."""
    return os.environ.get("XDS_TEST_POSTGRES") or pytest.skip("XDS_TEST_POSTGRES names no database")


def s3_url() -> str:
    """A place of one's own in the test server's bucket, or skip."""
    url = os.environ.get("XDS_TEST_S3") or pytest.skip("XDS_TEST_S3 names no bucket")
    return f"{url.rstrip('/')}/stack-{uuid.uuid4().hex[:12]}"


def free_port() -> int:
    """A port nobody listens on, below the range that outgoing connections take theirs from."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def environment(**changes: str) -> dict[str, str]:
    """The environment of a server: none of the settings that a developer may have set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDS_")}
    return kept | {"PYTHONPATH": str(ROOT)} | changes


def run(*arguments: str | Path, cwd: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `xds` to its end."""
    command = [sys.executable, "-m", "xds", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment(**changes), capture_output=True, text=True, timeout=120, check=False
    )


@dataclass
class Server:
    """One `xds serve`.

    Attributes:
        config: its settings.
        actor: value of `--actor`.
        log: where its stderr goes.
    """

    config: Path
    actor: str = "all"
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.config.with_suffix(".log")

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "xds", "serve", "-c", str(self.config), "--actor", self.actor, *self.options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=environment())

    def wait_ready(self) -> None:
        """Wait until it says that it is ready."""
        deadline = time.monotonic() + START_SECONDS
        while "xds: ready:" not in self.text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"xds serve did not start (exit code {self.process.returncode}):\n{self.text()}")
            time.sleep(0.02)

    def text(self) -> str:
        """What it wrote to stderr."""
        return self.log.read_text()

    def kill(self) -> None:
        """End it as when its machine dies: the master and its workers, without a word."""
        master = self.process.pid
        workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        for pid in [master, *map(int, workers)]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        """End it; returns its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@dataclass
class Stack:
    """Both actors, running.

    Attributes:
        directory: settings, logs and embedded stores.
        pki: `ca.pem`, `client.pem`, `client.key` and the rest of `write_test_material`.
        config: settings that name both endpoints, for `xds patient`, `submit` and the like.
        servers: the processes; the registry comes first.
        urls: of the SOAP endpoints.
        database: what to drop afterwards.
        store: URL of the documents' store.
    """

    directory: Path
    pki: Path
    config: Path
    servers: list[Server]
    urls: dict[Actor, str]
    store: str
    database: str | None = None
    tls: TLSSettings = field(init=False)

    def __post_init__(self) -> None:
        self.tls = TLSSettings(self.pki / "client.pem", self.pki / "client.key", self.pki / "ca.pem")

    @property
    def registry(self) -> str:
        """URL of the registry's endpoint."""
        return self.urls[Actor.REGISTRY]

    @property
    def repository(self) -> str:
        """URL of the repository's endpoint."""
        return self.urls[Actor.REPOSITORY]

    def start(self) -> None:
        """Start what does not run, the registry first."""
        for server in self.servers:
            if server.process is None or server.process.poll() is not None:
                server.start()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> list[int | None]:
        """End all, the repository first; returns the exit codes."""
        return [server.stop(how) for server in reversed(self.servers)]

    def add_patient(self, *ids: str) -> None:
        """As `xds patient add` does."""
        added = run("patient", "add", "-c", self.config, *ids)
        assert added.returncode == 0, added.stderr

    def client_context(self, name: str = "client") -> ssl.SSLContext:
        """TLS with one of the certificates of `pki`."""
        return client_context(TLSSettings(self.pki / f"{name}.pem", self.pki / f"{name}.key", self.pki / "ca.pem"))

    def get(self, path: str, actor: Actor = Actor.REGISTRY, **headers: str) -> tuple[int, str]:
        """GET a page of the server of an actor; returns status and text."""
        opener = build_opener(HTTPSHandler(context=self.client_context()))
        opener.handlers = [each for each in opener.handlers if type(each).__name__ != "ProxyHandler"]
        request = Request(self.urls[actor].removesuffix(f"/{actor}") + path, headers=headers)
        with opener.open(request, timeout=20) as answer:
            return answer.status, answer.read().decode()

    def clean(self) -> None:
        """Remove what the store holds."""
        if self.store.startswith("s3+"):
            store = open_store(self.store)
            for found in store.list():
                store.delete(found.key)
            store.close()


def start(
    directory: Path,
    pki: Path,
    arrangement: Arrangement,
    *,
    database: str | None = None,
    store: str | None = None,
    codes: Path | None = None,
    **sections: dict[str, Any],
) -> Stack:
    """Write settings and start the servers.

    Args:
        directory: made.
        pki: certificates.
        arrangement: one process or two.
        database: URL, for both actors; SQLite in the directory if None.
        store: URL; a directory in the directory if None.
        codes: codes.xml; the one that comes with the project if None.
        sections: further settings, such as `registry={"max_results": 5}`.
    """
    directory.mkdir(parents=True)
    ports = {actor: free_port() for actor in Actor}
    if arrangement is Arrangement.ONE_PROCESS:
        ports[Actor.REPOSITORY] = ports[Actor.REGISTRY]
    urls = {actor: f"https://localhost:{port}/{actor}" for actor, port in ports.items()}
    common = _common(pki, urls, database=database, store=store, codes=codes, more=sections)
    config = _write(directory / "xds.toml", common, ports[Actor.REGISTRY])
    if arrangement is Arrangement.ONE_PROCESS:
        servers = [Server(config)]
    else:
        apart = common | {"registry": {"url": urls[Actor.REGISTRY]}}
        servers = [
            Server(config, "registry"),
            Server(_write(directory / "repository.toml", apart, ports[Actor.REPOSITORY]), "repository"),
        ]
    return _started(Stack(directory, pki, config, servers, urls, store or str(directory / "documents"), database))


def start_balanced(
    directory: Path,
    pki: Path,
    balanced: dict[Actor, int],
    ports: dict[Actor, list[int]],
    *,
    database: str,
    store: str,
    **sections: dict[str, Any],
) -> Stack:
    """Write settings and start several servers of each actor, on one database and one store.

    Args:
        directory: made.
        pki: certificates.
        balanced: the port of the load balancer in front of each actor; everybody, the repositories too, calls that.
        ports: of the servers of each actor.
        database: URL, for all.
        store: URL, for all.
        sections: further settings.
    """
    directory.mkdir(parents=True)
    urls = {actor: f"https://localhost:{port}/{actor}" for actor, port in balanced.items()}
    common = _common(pki, urls, database=database, store=store, more=sections)
    config = _write(directory / "xds.toml", common, balanced[Actor.REGISTRY])
    servers = []
    for actor in Actor:
        of_actor = common | ({"registry": {"url": urls[Actor.REGISTRY]}} if actor is Actor.REPOSITORY else {})
        servers += [
            Server(_write(directory / f"{actor}{number}.toml", of_actor, port), str(actor))
            for number, port in enumerate(ports[actor], 1)
        ]
    return _started(Stack(directory, pki, config, servers, urls, store, database))


def _started(stack: Stack) -> Stack:
    try:
        stack.start()
    except BaseException:
        stack.stop(signal.SIGKILL)
        raise
    return stack


def _common(
    pki: Path,
    urls: dict[Actor, str],
    *,
    more: dict[str, dict[str, Any]],
    database: str | None = None,
    store: str | None = None,
    codes: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """The settings that all servers and the commands share."""
    common: dict[str, dict[str, Any]] = {
        "server": {"workers": 2, "threads": 8, "log_level": "info"},
        "tls": {"certificate": str(pki / "server.pem"), "key": str(pki / "server.key"), "ca": str(pki / "ca.pem")},
        "registry": {"database": database or "sqlite:///registry.db"},
        "repository": {
            "database": database or "sqlite:///repository.db",
            "store": store or "documents",
            "unique_id": REPOSITORY_UNIQUE_ID,
        },
        "affinity": {"codes": str(codes)} if codes else {},
        "defaults": {"source_id": SOURCE_ID},
        "client": {
            **{str(actor): url for actor, url in urls.items()},
            "certificate": str(pki / "client.pem"),
            "key": str(pki / "client.key"),
            "ca": str(pki / "ca.pem"),
        },
    }
    for name, section in more.items():
        common[name] = common.get(name, {}) | section
    return common


def _write(path: Path, sections: dict[str, dict[str, Any]], port: int) -> Path:
    sections = sections | {"server": sections["server"] | {"port": port}}
    lines = []
    for name, section in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    path.write_text("\n".join(lines) + "\n")
    return path
