"""`xds init`: a directory from which a server can be started at once.

Settings with a word on each, the affinity domain's codes, a development authority with server and client certificates.
Identifiers are made under 2.25 (ITU-T X.667), where every UUID is an OID that needs no registration.
"""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from xds.commands.common import USAGE, CommandError, Verbose, terminal
from xds.config import DEFAULT_PORT, MAX_PORT, DatabaseURL, StoreURL, checked
from xds.content.files import oid_of
from xds.metadata import affinity
from xds.metadata.affinity import AffinityDomainError
from xds.security.pki import LOCAL_HOSTS, write_development_pki

SETTINGS, CODES, CERTS = "xds.toml", "codes.xml", "certs"
REGISTRY_DATABASE, REPOSITORY_DATABASE, STORE = "sqlite:///registry.db", "sqlite:///repository.db", "documents"


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if absent.")],
    port: Annotated[int, typer.Option(min=1, max=MAX_PORT, envvar="XDS_SERVER__PORT", help="TCP port.")] = DEFAULT_PORT,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="XDS_SERVER__NAME",
            help="Name by which others reach this machine. [default: this machine only]",
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="XDS_DATABASE",
            help="postgresql+psycopg://USER:PASSWORD@HOST/NAME, for both actors. [default: SQLite in DIR]",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="XDS_STORE",
            help="s3+http://KEY:SECRET@HOST:9000/BUCKET, or a directory. [default: a directory in DIR]",
        ),
    ] = None,
    codes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="XDS_AFFINITY__CODES",
            help="codes.xml of the affinity domain. [default: the one that comes with xds]",
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Make a directory with settings, codes and development certificates, ready to serve."""
    write(directory, port=port, host=host, database=database, store=store, codes=codes)
    path = directory / SETTINGS
    terminal.say(f"Written: {path}, {directory / CODES}, {directory / CERTS}/ (for development only).")
    if not affinity.load(directory / CODES).assigning_authorities:
        terminal.say(
            "Patient ids of any assigning authority are accepted until one is configured: [affinity] "
            f"assigning_authorities in {path}."
        )
    terminal.say(f"Next: xds serve -c {path}")
    terminal.say(f"      xds patient add -c {path} 'ID^^^&OID&ISO'")


def write(
    directory: Path,
    *,
    port: int = DEFAULT_PORT,
    host: str | None = None,
    database: str | None = None,
    store: str | None = None,
    codes: Path | None = None,
) -> None:
    """Do what `xds init` does.

    Raises:
        CommandError: something is there already, or an option cannot be used; nothing was written.
    """
    _refuse_existing(directory)
    table = _codes(codes)
    text = _settings_text(
        port=port,
        host=host,
        registry=_checked(DatabaseURL, database, "--database") or REGISTRY_DATABASE,
        repository=_checked(DatabaseURL, database, "--database") or REPOSITORY_DATABASE,
        store=_checked(StoreURL, store, "--store") or STORE,
    )
    try:
        write_development_pki(directory / CERTS, [host] if host else [])
    except ValueError as error:
        raise CommandError(f"--host: {error}", USAGE) from None
    except FileExistsError as error:
        raise CommandError(str(error), USAGE) from None
    _write(directory / CODES, table, 0o644)
    _write(directory / SETTINGS, text.encode(), 0o600)


def _refuse_existing(directory: Path) -> None:
    for name in (SETTINGS, CODES):
        if (directory / name).exists():
            raise CommandError(
                f"{directory / name} is there already and is never overwritten; choose another DIR", USAGE
            )


def _codes(path: Path | None) -> bytes:
    if path is None:
        return files("xds").joinpath("data", CODES).read_bytes()
    try:
        affinity.load(path)
        return path.read_bytes()
    except AffinityDomainError as error:
        raise CommandError(f"--codes: {error}", USAGE) from None


def _checked(kind: object, value: str | None, option: str) -> str | None:
    if value is None:
        return None
    try:
        return checked(kind, value)
    except ValueError as error:
        raise CommandError(f"{option} {error}", USAGE) from None


def _settings_text(*, port: int, host: str | None, registry: str, repository: str, store: str) -> str:
    name = host or LOCAL_HOSTS[0]
    authority = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    values: dict[str, object] = {
        "port": port,
        "name": name,
        "listen": _listen(name),
        "registry_database": registry,
        "repository_database": repository,
        "store": store,
        "repository_unique_id": oid_of(uuid4()),
        "source_id": oid_of(uuid4()),
        "registry_url": f"https://{authority}/registry",
        "repository_url": f"https://{authority}/repository",
    }
    template = files("xds").joinpath("data", "xds.toml.in").read_text(encoding="utf-8")
    for key, value in values.items():
        template = template.replace(f"@{key}@", json.dumps(value, ensure_ascii=False))
    return template


def _listen(name: str) -> str:
    """The address to listen on: this machine's alone, unless it is given another name."""
    if ":" in name:
        return "::1" if name in LOCAL_HOSTS else "::"
    return "127.0.0.1" if name in LOCAL_HOSTS else "0.0.0.0"  # noqa: S104


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
