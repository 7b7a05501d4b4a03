"""The options by which a command finds the actors it talks to, and the clients made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from xds.commands.common import USAGE, CommandError, settings, variable
from xds.config import Client, Settings, load
from xds.security.tls import TLSSettings

RegistryURL = Annotated[
    str | None,
    typer.Option("--registry", metavar="URL", envvar=variable("client", "registry"), help="Endpoint of the Document Registry."),
]
RepositoryURL = Annotated[
    str | None,
    typer.Option("--repository", metavar="URL", envvar=variable("client", "repository"), help="Endpoint of the Document Repository."),
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
    typer.Option("--cacert", metavar="FILE", envvar=variable("client", "ca"), help="Authorities that servers are trusted by (PEM)."),
]


@dataclass(frozen=True)
class Peers:
    """Whom a command talks to, and as whom.

    Attributes:
        settings: of the file given with `-c`, and of the environment.
        client: `[client]` with the options over it.
        has_file: whether there is a file, and with it an affinity domain.
    """

    settings: Settings
    client: Client
    has_file: bool

    @property
    def tls(self) -> TLSSettings:
        """Certificates to show and to trust."""
        given = {"--cert": self.client.certificate, "--key": self.client.key, "--cacert": self.client.ca}
        if missing := [option for option, value in given.items() if value is None]:
            raise CommandError(f"{', '.join(missing)}: missing; give it, or -c FILE with a section [client]", USAGE)
        certificate, key, ca = given.values()
        return TLSSettings(certificate, key, ca)  # type: ignore[arg-type]
