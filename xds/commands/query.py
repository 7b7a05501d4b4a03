"""`xds query`: find documents (ITI-18 FindDocuments, GetDocuments)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from xds.commands import ask
from xds.commands.common import USAGE, AsJson, CommandError, OptionalConfigFile, Verbose, counted, terminal
from xds.commands.describe import as_json as entry_json
from xds.commands.describe import table
from xds.commands.metadata import code, patient, time
from xds.commands.peers import Authorities, Certificate, Key, Peers, RegistryURL, connect
from xds.metadata.affinity import CodeType
from xds.metadata.model import DocumentEntry
from xds.metadata.vocabulary import ON_DEMAND, STABLE, AvailabilityStatus

_CODES = {
    "type_code": ("$XDSDocumentEntryTypeCode", "--type", CodeType.TYPE_CODE),
    "class_code": ("$XDSDocumentEntryClassCode", "--class", CodeType.CLASS_CODE),
}
_TIMES = {
    "created_from": ("$XDSDocumentEntryCreationTimeFrom", "--from"),
    "created_to": ("$XDSDocumentEntryCreationTimeTo", "--to"),
    "service_from": ("$XDSDocumentEntryServiceStopTimeFrom", "--service-from"),
    "service_to": ("$XDSDocumentEntryServiceStartTimeTo", "--service-to"),
}
_WIDTH = 240  # where stdout is no terminal: nothing is cut


class Status(StrEnum):
    """Which documents are looked for."""

    APPROVED = "approved"
    DEPRECATED = "deprecated"
    ALL = "all"

    @property
    def urns(self) -> list[str]:
        """Values of $XDSDocumentEntryStatus."""
        chosen = {Status.APPROVED: [AvailabilityStatus.APPROVED], Status.DEPRECATED: [AvailabilityStatus.DEPRECATED]}
        return [urn.value for urn in chosen.get(self, list(AvailabilityStatus))]


def query(
    ctx: typer.Context,
    patient_id: Annotated[
        str | None, typer.Argument(metavar="['ID^^^&OID&ISO']", help="patientId; or --unique-id or --uuid.")
    ] = None,
    type_code: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="CODE", help="typeCode, code^^codingScheme; repeat for any of several."),
    ] = None,
    class_code: Annotated[list[str] | None, typer.Option("--class", metavar="CODE", help="classCode.")] = None,
    created_from: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="creationTime not before, such as 2026-01-31.")
    ] = None,
    created_to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="creationTime before.")] = None,
    service_from: Annotated[str | None, typer.Option(metavar="TIME", help="serviceStopTime not before.")] = None,
    service_to: Annotated[str | None, typer.Option(metavar="TIME", help="serviceStartTime before.")] = None,
    status: Annotated[Status, typer.Option(help="availabilityStatus.")] = Status.APPROVED,
    on_demand: Annotated[bool, typer.Option("--on-demand", help="On-Demand entries too.")] = False,
    unique_id: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Get the document of this uniqueId.")
    ] = None,
    uuid: Annotated[list[str] | None, typer.Option(metavar="UUID", help="Get the entry of this entryUUID.")] = None,
    object_refs: Annotated[bool, typer.Option("--object-refs", help="Only the entryUUIDs.")] = False,
    as_json: AsJson = False,
    config: OptionalConfigFile = None,
    registry: RegistryURL = None,
    cert: Certificate = None,
    key: Key = None,
    cacert: Authorities = None,
    verbose: Verbose = False,
) -> None:
    """Find documents of a patient, by type, class, time and status; or get single ones by id."""
    if sum(map(bool, (patient_id, unique_id, uuid))) != 1:
        raise CommandError("expected a patient id, or --unique-id, or --uuid: one of them", USAGE)
    with connect(config, registry=registry, cert=cert, key=key, cacert=cacert) as peers:
        stored, parameters = _question(peers, ctx.params)
        if object_refs:
            _show_refs(ask.answered(peers.registry, ask.query(stored, parameters, refs=True)).refs, as_json=as_json)
            return
        found = list(ask.find_all(peers.registry, stored, parameters))
    _show(sorted(found, key=lambda entry: entry.creation_time or "", reverse=True), as_json=as_json)


def _question(peers: Peers, given: Mapping[str, Any]) -> tuple[str, list[tuple[str, list[str]]]]:
    """The stored query that the options mean, and its parameters; those without values are left out."""
    if not given["patient_id"]:
        return "GetDocuments", [
            ("$XDSDocumentEntryUniqueId", given["unique_id"] or []),
            ("$XDSDocumentEntryEntryUUID", given["uuid"] or []),
        ]
    parameters = [
        ("$XDSDocumentEntryPatientId", [patient("patient id", given["patient_id"], peers.settings.defaults)]),
        ("$XDSDocumentEntryStatus", given["status"].urns),
        ("$XDSDocumentEntryType", [STABLE, ON_DEMAND] if given["on_demand"] else []),
    ]
    for name, (parameter, option, kind) in _CODES.items():
        parameters.append((parameter, [code(option, text, kind, peers.affinity).key for text in given[name] or ()]))
    for name, (parameter, option) in _TIMES.items():
        parameters.append((parameter, [time(option, given[name])] if given[name] else []))
    return "FindDocuments", parameters


def _show(entries: list[DocumentEntry], *, as_json: bool) -> None:
    if as_json:
        terminal.json([entry_json(entry) for entry in entries])
        return
    if entries:
        Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False).print(table(entries))
    terminal.say(f"{counted(len(entries), 'document')} found.")


def _show_refs(refs: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        terminal.json(list(refs))
        return
    for ref in refs:
        terminal.data(ref)
