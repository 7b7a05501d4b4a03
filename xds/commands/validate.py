"""`xds validate`: what is wrong with a saved message, by the rules the server applies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xds.commands.common import REFUSED, USAGE, AsJson, CommandError, Verbose, counted, terminal
from xds.metadata import affinity
from xds.metadata.affinity import AffinityDomain, AffinityDomainError
from xds.validation.message import ANY_CODE, Report
from xds.validation.message import validate as examine

STDIN = "-"


def validate(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Messages: XML, MIME, or a capture with its HTTP header; - for stdin."),
    ],
    codes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="XDS_AFFINITY__CODES",
            help="codes.xml of the affinity domain. [default: any code is legal]",
        ),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Examine requests and answers of ITI-18, 41, 42, 43: each finding with code, place and section of the standard."""
    domain = _domain(codes)
    contents = [(path, _read(path)) for path in paths]
    reports = [(path, examine(content, domain)) for path, content in contents]
    if as_json:
        terminal.json([_as_json(path, report) for path, report in reports])
    else:
        _show(reports)
    if any(report.errors for _, report in reports):
        raise typer.Exit(REFUSED)


def _domain(codes: Path | None) -> AffinityDomain:
    try:
        return affinity.load(codes) if codes else ANY_CODE
    except AffinityDomainError as error:
        raise CommandError(f"--codes: {error}", USAGE) from None


def _read(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: the file cannot be read: {error.strerror}", USAGE) from None


def _show(reports: Sequence[tuple[str, Report]]) -> None:
    for path, report in reports:
        for finding in report.findings:
            error = finding.error
            place = f" [{error.location}]" if error.location else ""
            severity = error.severity.name.lower()
            terminal.data(f"{path}: {severity}: {error.code}: {error.context}{place} ({finding.section})")
        warnings = len(report.findings) - len(report.errors)
        terminal.say(f"{path}: {report.what}: {counted(len(report.errors), 'error')}, {counted(warnings, 'warning')}")


def _as_json(path: str, report: Report) -> dict[str, object]:
    return {
        "file": path,
        "message": report.what,
        "findings": [
            {
                "severity": finding.error.severity.name.capitalize(),
                "code": str(finding.error.code),
                "context": finding.error.context,
                "location": finding.error.location,
                "section": finding.section,
            }
            for finding in report.findings
        ],
    }
