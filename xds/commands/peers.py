"""The options by which a command finds the actors it talks to, and the clients made of them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from xds import app
from xds.client import RegistryClient, RepositoryClient
from xds.commands.common import USAGE, CommandError, terminal, variable
from xds.config import Client, Settings, load
from xds.messages import Caller
from xds.metadata.affinity import AffinityDomain
from xds.security.tls import TLSConfigurationError, TLSSettings, client_context
from xds.soap.transport import SoapTransport

T = TypeVar("T")
CALLER = Caller("xds")

RegistryURL = Annotated[
    str | None,
    typer.Option(
        "--registry", metavar="URL", envvar=variable("client", "registry"), help="Endpoint of the Document Registry."
    ),
]
RepositoryURL = Annotated[
    str | None,
    typer.Option(
        "--repository",
        metavar="URL",
        envvar=variable("client", "repository"),
        help="Endpoint of the Document Repository.",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option("--cert", metavar="FILE", envvar=variable("client", "certificate"), help="Client certificate (PEM)."),
]
Key = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", envvar=variable("client", "key"), help="Its private key (PEM).")
]
Authorities = Annotated[
    Path | None,
    typer.Option(
        "--cacert",
        metavar="FILE",
        envvar=variable("client", "ca"),
        help="Authorities that servers are trusted by (PEM).",
    ),
]


@dataclass(frozen=True)
class Peers:
    """Whom a command talks to, and as whom.

    Attributes:
        settings: of the file given with `-c`, and of the environment.
        client: `[client]` with the options over it.
        affinity: the affinity domain; None without a file.
        transport: connections, kept alive.
    """

    settings: Settings
    client: Client
    affinity: AffinityDomain | None
    transport: SoapTransport

    @property
    def registry(self) -> RegistryClient:
        """The Document Registry."""
        return RegistryClient(self.transport, _given(self.client.registry, "--registry"))

    @property
    def repository(self) -> RepositoryClient:
        """The Document Repository."""
        return RepositoryClient(self.transport, _given(self.client.repository, "--repository"))


@contextmanager
def connect(
    config: Path | None,
    *,
    registry: str | None = None,
    repository: str | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    cacert: Path | None = None,
    connections: int = 4,
) -> Iterator[Peers]:
    """Put options and settings together; nothing is sent yet, and at the end the connections are closed.

    Raises:
        CommandError: something is missing or cannot be used.
        ConfigurationError: of the settings.
    """
    settings = load(config)
    options = {"registry": registry, "repository": repository, "certificate": cert, "key": key, "ca": cacert}
    client = settings.client.model_copy(update={name: value for name, value in options.items() if value is not None})
    domain = app.domain(settings) if config else None
    with closing(SoapTransport(_context(client), connections=connections)) as transport:
        if terminal.verbose:
            transport.session.hooks["response"].append(_show_exchange)
        yield Peers(settings, client, domain, transport)


def _show_exchange(response: Any, **_: object) -> None:
    """What `-v` shows of each exchange: which way, what kind, how long until the answer began."""
    request = response.request
    terminal.say(f"> {request.method} {response.url} {request.headers.get('Content-Type')}")
    milliseconds = response.elapsed.total_seconds() * 1000
    kind = response.headers.get("Content-Type")
    terminal.say(f"< HTTP {response.status_code} {response.reason} {kind} after {milliseconds:.0f} ms")


def _context(client: Client) -> ssl.SSLContext | None:
    """TLS with the client's certificate; none is needed where all endpoints are plain HTTP."""
    urls = [url for url in (client.registry, client.repository) if url]
    if urls and all(url.startswith("http:") for url in urls):
        return None
    tls = TLSSettings(
        Path(_given(client.certificate, "--cert")),
        Path(_given(client.key, "--key")),
        Path(_given(client.ca, "--cacert")),
    )
    try:
        return client_context(tls)
    except TLSConfigurationError as error:
        raise CommandError(str(error), USAGE) from None


def _given(value: T | None, option: str) -> T:
    if value is None:
        raise CommandError(f"{option}: missing; give it, or -c FILE with a section [client]", USAGE)
    return value
