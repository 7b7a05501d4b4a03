"""`xds check`: the effective settings, and whether everything they name works."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated, Any

import typer

from repository.storage import StoreError
from xds import app, database
from xds.actors import PeerUnavailable
from xds.app import Choice
from xds.commands import ask
from xds.commands.common import REFUSED, AsJson, ConfigFile, Verbose, counted, terminal
from xds.config import ConfigurationError, Settings, load
from xds.errors import Refused, SoapFault
from xds.migrate import DatabaseError, words
from xds.security.tls import (
    TLSConfigurationError,
    TLSSettings,
    certificate_report,
    client_context,
    server_context,
)
from xds.serve import StartError, listen
from xds.transactions import Actor

SOON_DAYS = 30
NO_DOCUMENT = "2.25.0"
ALIVE = b"alive"  # of /health
_PATIENCE_SECONDS = 5


class Wrong(Exception):  # noqa: N818 - says what is the case
    """A check failed; the text says why, and what to do."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: of what was checked.
        works: whether it does.
        words: about it.
    """

    name: str
    works: bool
    words: str


_FAILURES = (Wrong, ConfigurationError, TLSConfigurationError, StoreError, PeerUnavailable, Refused, SoapFault)


def check(
    config: ConfigFile,
    actor: Annotated[Choice, typer.Option(envvar="XDS_ACTOR", help="For a server of this actor.")] = Choice.ALL,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show the effective settings, try every dependency, and say what is wrong."""
    settings = load(config)
    findings = list(_findings(settings, actor))
    if as_json:
        found = [{"check": finding.name, "ok": finding.works, "words": finding.words} for finding in findings]
        terminal.json({"settings": settings.model_dump(mode="json"), "checks": found})
    else:
        _show_settings(settings)
        for finding in findings:
            terminal.data(f"{'ok   ' if finding.works else 'WRONG'}  {finding.name}: {finding.words}")
    wrong = sum(not finding.works for finding in findings)
    if wrong:
        terminal.say(f"xds: {counted(wrong, 'thing')} of {len(findings)} wrong.")
        raise typer.Exit(REFUSED)


def _show_settings(settings: Settings) -> None:
    """As the file would have them; what is not set is left out."""
    for name, section in settings.model_dump(mode="json").items():
        values = {key: value for key, value in (section or {}).items() if value not in (None, [], {})}
        if values:
            terminal.data(f"[{name}]")
        for key, value in values.items():
            terminal.data(f"{key} = {_toml(value)}")
        if values:
            terminal.data("")


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)


def _findings(settings: Settings, choice: Choice) -> Iterator[Finding]:
    for name, test in _checks(settings, choice):
        try:
            yield Finding(name, works=True, words=test())
        except DatabaseError as error:
            yield Finding(name, works=False, words=words(error))
        except _FAILURES as error:
            detail = getattr(error, "detail", "") or str(error)
            yield Finding(name, works=False, words=" ".join(detail.split()))


def _checks(settings: Settings, choice: Choice) -> Iterator[tuple[str, Callable[[], str]]]:
    """What to try, in the order in which it matters."""
    if tls := app.tls_settings(settings):
        yield "server certificate", lambda: _certificate(tls, settings.server.name)
        yield "authorities of clients", lambda: _validity(tls.ca)
        yield "TLS", lambda: _server_tls(tls)
    else:
        yield "TLS", lambda: _no_tls(settings)
    if mine := app.client_tls(settings):
        yield "client certificate", lambda: _client(mine)
    yield "codes.xml", lambda: _codes(settings)
    for actor in choice.actors:
        yield f"database of the {actor}", lambda actor=actor: _database(settings, actor)  # type: ignore[misc]
    if Actor.REPOSITORY in choice.actors:
        yield "repositoryUniqueId", lambda: app.required(settings.repository.unique_id, "[repository] unique_id")
        yield "document store", lambda: _store(settings)
    if choice is Choice.REPOSITORY:
        yield "registry", lambda: _registry(settings)
    yield "port", lambda: _port(settings)


def _certificate(tls: TLSSettings, name: str) -> str:
    report = certificate_report(tls.certificate)
    names = {san.partition(":")[2] for san in report.san}
    if name not in names and f"*.{name.partition('.')[2]}" not in names:
        raise Wrong(
            f"{tls.certificate} does not name {name} ([server] name) but {', '.join(sorted(names)) or 'nobody'}"
        )
    return _validity(tls.certificate)


def _validity(path: Path) -> str:
    report = certificate_report(path)
    if report.days_left < 0:
        raise Wrong(f"{path}: {report.subject} expired on {report.not_after:%Y-%m-%d}; get a new one")
    if report.days_left < SOON_DAYS:
        raise Wrong(f"{path}: {report.subject} expires in {counted(report.days_left, 'day')}; get a new one")
    return f"{report.subject}, valid until {report.not_after:%Y-%m-%d} ({report.days_left} days)"


def _server_tls(tls: TLSSettings) -> str:
    server_context(tls)
    return "certificate and key belong together; revocation is " + ("checked" if tls.crl else "not checked (no crl)")


def _no_tls(settings: Settings) -> str:
    app.check_protection(settings)
    server = settings.server
    return "plain HTTP on this machine only" if server.plain_http else f"done by a proxy ({server.certificate_header})"


def _client(tls: TLSSettings) -> str:
    client_context(tls)
    return _validity(tls.certificate)


def _codes(settings: Settings) -> str:
    domain = app.domain(settings)
    number = sum(map(len, domain.codes.values()))
    authorities = ", ".join(sorted(domain.assigning_authorities)) or "ANY assigning authority"
    return f"{counted(number, 'code')}; patient ids of {authorities} are accepted"


def _database(settings: Settings, actor: Actor) -> str:
    schema, where = app.SCHEMAS[actor], database.describe(app.database_url(settings, actor))
    revision = schema.current(app.engine(settings, actor))
    if revision == schema.head:
        return f"{where}, schema {revision}"
    if revision is None:
        return f"{where}, empty; xds serve will make its tables"
    if schema.knows(revision):
        return f"{where}, schema {revision}; xds serve will bring it to {schema.head}"
    return f"{where}, schema {revision} of a later release; this one has {schema.head}"


def _store(settings: Settings) -> str:
    store = app.store(settings)
    try:
        return f"{store.check()}; wrote, read and removed an object"
    finally:
        store.close()


def _registry(settings: Settings) -> str:
    ask.any_known(app.remote_registry(settings), [NO_DOCUMENT])
    return f"{settings.registry.url} answers queries"


def _port(settings: Settings) -> str:
    server = settings.server
    try:
        listen(server.host, server.port).close()
    except StartError as error:
        if _is_ours(settings):
            return f"the server is running on {server.host} port {server.port}"
        raise Wrong(str(error)) from None
    return f"{server.host} port {server.port} is free; no server is running there"


def _is_ours(settings: Settings) -> bool:
    """Tell whether what listens is this server: it takes our certificate, has its name, and says that it is alive."""
    server, tls = settings.server, app.client_tls(settings) or app.tls_settings(settings)
    host = "localhost" if server.host in {"0.0.0.0", "::"} else server.host  # noqa: S104
    connection = HTTPConnection(server.name, server.port)
    try:
        with closing(connection), socket.create_connection((host, server.port), timeout=_PATIENCE_SECONDS) as plain:
            connection.sock = plain
            if settings.tls and tls:
                connection.sock = client_context(tls).wrap_socket(plain, server_hostname=server.name)
            connection.request("GET", "/health")
            return connection.getresponse().read(len(ALIVE)) == ALIVE
    except (OSError, HTTPException):
        return False
