"""What a server shows to a browser and to monitoring: the connection sheet, WSDLs and schemas, health and readiness.

A handful of small pages, written by hand and escaped throughout. Machines get the connection sheet as JSON.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import parse_qsl

from xds.ebxml.schema import wsdl, xsd
from xds.security.tls import CertificateReport
from xds.transactions import TRANSACTIONS, Actor, Transaction

log = logging.getLogger(__name__)

Ready = Callable[[], Sequence[str]]
"""Tells what keeps the server from serving, in words a peer may read; empty if nothing does."""

_ACTOR_NAMES = {Actor.REGISTRY: "Document Registry", Actor.REPOSITORY: "Document Repository"}
_HTML, _JSON, _TEXT, _XML = (
    "text/html; charset=utf-8",
    "application/json",
    "text/plain; charset=utf-8",
    "text/xml; charset=utf-8",
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #ddd}"
    "td{overflow-wrap:anywhere}"
)


@dataclass(frozen=True)
class ConnectionSheet:
    """What an integrator needs to know to connect.

    Attributes:
        endpoints: absolute URL of each actor served here, as clients reach it.
        title: headline.
        version: of the software.
        repository_unique_id: repositoryUniqueId; None without a repository.
        home_community_id: `urn:oid:...`, if the community has one.
        patient_authorities: assigning authorities accepted (`&OID&ISO`); empty: any.
        oids: further OIDs by name.
        certificates: by name ("server certificate", "authority"); the files' paths are not shown.
        limits: limits by name, as text.
        notes: anything else, a line each.
    """

    endpoints: Mapping[Actor, str]
    title: str = "IHE XDS.b Document Registry and Document Repository"
    version: str = ""
    repository_unique_id: str | None = None
    home_community_id: str | None = None
    patient_authorities: tuple[str, ...] = ()
    oids: Mapping[str, str] = field(default_factory=dict)
    certificates: Mapping[str, CertificateReport] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def transactions(self) -> tuple[Transaction, ...]:
        """The transactions accepted here: the rows of the table whose actor is served."""
        return tuple(row for row in TRANSACTIONS if row.actor in self.endpoints)


@dataclass(frozen=True)
class Page:
    """An answer to GET.

    Attributes:
        status: HTTP status line without the version.
        media_type: value for Content-Type.
        body: content.
        further: further header fields.
    """

    status: str
    media_type: str
    body: bytes
    further: tuple[tuple[str, str], ...] = ()

    def headers(self) -> list[tuple[str, str]]:
        """All header fields."""
        return [
            ("Content-Type", self.media_type),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
            *self.further,
        ]


def plain(status: str, words: str, *headers: tuple[str, str]) -> Page:
    """A page of plain text."""
    return Page(status, _TEXT, f"{words}\n".encode(), headers)


class Pages:
    """The pages of one server.

    Args:
        sheet: content of the connection sheet.
        ready: asked by `/ready` each time.
    """

    def __init__(self, sheet: ConnectionSheet, ready: Ready = tuple) -> None:
        self._sheet = sheet
        self._ready = ready
        self._by_path = {f"/{actor}": actor for actor in sheet.endpoints}

    def get(self, path: str, query: str = "", accept: str = "") -> Page:
        """Answer GET.

        Args:
            path: without query.
            query: query string.
            accept: value of the Accept field; application/json asks for JSON.
        """
        wanted = {name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)}
        as_json = wanted.get("format", "").lower() == "json" or "application/json" in accept.lower()
        path = path.rstrip("/") or "/"
        if path == "/":
            return self._connection_sheet(as_json=as_json)
        if path == "/health":
            return plain("200 OK", "alive")
        if path == "/ready":
            return self._readiness()
        if path in self._by_path:
            return self._endpoint(self._by_path[path], wanted)
        known = ", ".join(("/", "/health", "/ready", *self._by_path))
        return plain("404 Not Found", f"nothing here; there is {known}")

    def _readiness(self) -> Page:
        try:
            problems = list(self._ready())
        except Exception:
            log.exception("the test of readiness failed")
            problems = ["the test of readiness failed, see the server's log"]
        if problems:
            return plain("503 Service Unavailable", "not ready\n" + "\n".join(problems))
        return plain("200 OK", "ready")

    def _endpoint(self, actor: Actor, wanted: Mapping[str, str]) -> Page:
        address = self._sheet.endpoints[actor]
        if "wsdl" in wanted:
            return Page("200 OK", _XML, wsdl(_ACTOR_NAMES[actor].replace(" ", ""), address))
        if "xsd" in wanted:
            try:
                return Page("200 OK", _XML, xsd(wanted["xsd"], address))
            except LookupError:
                return plain("404 Not Found", "no such schema")
        words = f"the {_ACTOR_NAMES[actor]} answers SOAP 1.2 by POST; its WSDL is at {address}?wsdl"
        return plain("405 Method Not Allowed", words, ("Allow", "POST"))

    def _connection_sheet(self, *, as_json: bool) -> Page:
        if as_json:
            return Page("200 OK", _JSON, json.dumps(sheet_json(self._sheet), ensure_ascii=False, indent=1).encode())
        return Page("200 OK", _HTML, sheet_html(self._sheet).encode())


def sheet_json(sheet: ConnectionSheet) -> dict[str, Any]:
    """The connection sheet for machines."""
    return {
        "title": sheet.title,
        "version": sheet.version,
        "endpoints": {actor.value: url for actor, url in sheet.endpoints.items()},
        "wsdl": {actor.value: f"{url}?wsdl" for actor, url in sheet.endpoints.items()},
        "repositoryUniqueId": sheet.repository_unique_id,
        "homeCommunityId": sheet.home_community_id,
        "oids": dict(sheet.oids),
        "patientAuthorities": list(sheet.patient_authorities),
        "transactions": [
            {
                "number": row.number,
                "name": row.name,
                "actor": row.actor.value,
                "endpoint": sheet.endpoints[row.actor],
                "action": row.action,
                "responseAction": row.response_action,
                "packaging": _packaging(row),
            }
            for row in sheet.transactions()
        ],
        "certificates": {
            name: {
                "subject": report.subject,
                "issuer": report.issuer,
                "sha256": report.fingerprint,
                "notAfter": report.not_after.isoformat(),
                "subjectAltName": list(report.san),
            }
            for name, report in sheet.certificates.items()
        },
        "limits": dict(sheet.limits),
        "notes": list(sheet.notes),
    }


def sheet_html(sheet: ConnectionSheet) -> str:
    """The connection sheet for people."""
    title = escape(sheet.title)
    sections = (
        _table("Endpoints", ((_ACTOR_NAMES[actor], url) for actor, url in sheet.endpoints.items())),
        _table("WSDL", ((_ACTOR_NAMES[actor], f"{url}?wsdl") for actor, url in sheet.endpoints.items()), link=True),
        _table("Identifiers", _identifiers(sheet)),
        _table(
            "Transactions",
            (
                (row.number, row.name, _ACTOR_NAMES[row.actor], row.action, _packaging(row))
                for row in sheet.transactions()
            ),
        ),
        _table("Certificates", _certificates(sheet)),
        _table("Limits", sheet.limits.items()),
        _table("Notes", ((note,) for note in sheet.notes)),
    )
    version = f"<p>Version {escape(sheet.version)}</p>" if sheet.version else ""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1>{version}"
        "<p>Connections need TLS 1.2 or 1.3 with a client certificate this server trusts. "
        f'For machines: <a href="/?format=json">JSON</a>.</p>{"".join(sections)}</body></html>'
    )


def _packaging(row: Transaction) -> str:
    return "SOAP 1.2 with MTOM/XOP; plain SOAP is answered in kind" if row.mtom else "SOAP 1.2"


def _identifiers(sheet: ConnectionSheet) -> Iterable[tuple[str, str]]:
    if sheet.repository_unique_id:
        yield "repositoryUniqueId", sheet.repository_unique_id
    if sheet.home_community_id:
        yield "homeCommunityId", sheet.home_community_id
    yield from sheet.oids.items()
    yield "assigning authorities of patient ids", ", ".join(sheet.patient_authorities) or "any"


def _certificates(sheet: ConnectionSheet) -> Iterable[tuple[str, ...]]:
    for name, report in sheet.certificates.items():
        days = (report.not_after - datetime.now(UTC)).days
        validity = f"until {report.not_after:%Y-%m-%d} ({days} days left)" if days >= 0 else "expired"
        yield name, report.subject, f"SHA-256 {report.fingerprint}", validity, " ".join(report.san)


def _table(title: str, rows: Iterable[Iterable[str]], *, link: bool = False) -> str:
    written = "".join(f"<tr>{''.join(_cell(cell, link=link) for cell in row)}</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><table>{written}</table>" if written else ""


def _cell(value: str, *, link: bool) -> str:
    shown = escape(value)
    is_link = link and value.startswith(("https://", "http://"))
    return f'<td><a href="{shown}">{shown}</a></td>' if is_link else f"<td>{shown}</td>"
