"""`xds demo`: the whole way of a document in a minute, with the same commands that a person would type.

Settings, certificates and embedded stores are made in one directory, and used again by the next run. The server is a
process of its own, and everything passes its front door: mutual TLS, ITI-41, ITI-18, ITI-43.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import typer

from xds import app
from xds.commands import ask, init
from xds.commands.common import CommandError, Verbose, terminal
from xds.commands.peers import connect
from xds.commands.sandbox import prepare, running, say, wait
from xds.config import Settings, load
from xds.security.tls import client_context

_AUTHORITY = "2.999.1.1"  # the arc for examples
HANS, RUTH, WEI = (f"{name}^^^&{_AUTHORITY}&ISO" for name in ("DEMO-1", "DEMO-2", "DEMO-3"))
_PLACE = ("--healthcare-facility-type-code", "22232009", "--practice-setting-code", "419192003")
_NO_FORMAT = ("--format-code", "urn:ihe:iti:xds:2017:mimeTypeSufficient")
_DISCHARGE = ("--content-type-code", "18842-5")
_LOINC_DISCHARGE = "18842-5^^2.16.840.1.113883.6.1"

SAMPLES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("entlassbrief-de.xml", HANS, (*_DISCHARGE, *_NO_FORMAT, *_PLACE)),
    ("discharge-us.xml", RUTH, (*_DISCHARGE, *_PLACE)),
    ("cda-zh.xml", WEI, (*_DISCHARGE, *_NO_FORMAT, *_PLACE, "--zone", "+08:00")),
    (
        "discharge-note.pdf",
        RUTH,
        (
            *(*_DISCHARGE, *_PLACE, "--type-code", _LOINC_DISCHARGE, "--title", "Discharge note"),
            *("--language-code", "en-US", "--confidentiality-code", "N", "--creation-time", "2025-08-22"),
        ),
    ),
)
"""Sample, patient, options of `xds submit`; who always submits from one place has most of them in [defaults]."""


def demo(
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where everything is made.")] = Path("demo"),
    serve: Annotated[bool, typer.Option("--serve", help="Keep serving until Ctrl-C.")] = False,
    verbose: Verbose = False,
) -> None:
    """Start both actors, register patients, submit, find and fetch the sample discharge summaries."""
    config = prepare(directory)
    with running(config) as server:
        _go_through(config)
        _next_steps(config, serving=serve)
        if serve:
            wait(server)
    terminal.say("Done." if not serve else "Stopped.")


def _go_through(config: Path) -> None:
    settings = load(config)
    _run("patient", "add", "-c", config, HANS, RUTH, WEI)
    with as_file(files("xds") / "data" / "samples") as samples:
        for name, patient, options in SAMPLES:
            _run("submit", "-c", config, samples / name, "--patient", patient, *options)
        for patient in (HANS, RUTH, WEI):
            _run("query", "-c", config, patient)
        _fetch(config, samples)
    _connection_sheet(settings)


def _fetch(config: Path, samples: Path) -> None:
    """Fetch what was submitted, and compare octet by octet."""
    found = [_unique_id(config, samples / name, patient) for name, patient, _ in SAMPLES]
    output = config.parent / "retrieved"
    _run("retrieve", "-c", config, *found, "-o", output)
    terminal.say("")
    by_hash = {_sha1(path): path for path in output.iterdir()}
    for name, _, _ in SAMPLES:
        sha1 = _sha1(samples / name)
        if sha1 not in by_hash or by_hash[sha1].read_bytes() != (samples / name).read_bytes():
            raise CommandError(f"{name}: what came back is not what was submitted")
        terminal.say(f"identical: {name} and {by_hash[sha1]}, SHA-1 {sha1}")


def _unique_id(config: Path, sample: Path, patient: str) -> str:
    """The uniqueId under which a sample was filed: the registry's entry with its hash."""
    parameters = [("$XDSDocumentEntryPatientId", [patient]), ("$XDSDocumentEntryStatus", [ask.APPROVED])]
    with connect(config) as peers:
        entries = list(ask.find_all(peers.registry, "FindDocuments", parameters))
    sha1 = _sha1(sample)
    found = next((entry.unique_id.value for entry in entries if entry.hash == sha1 and entry.unique_id), None)
    if found is None:
        raise CommandError(f"{sample.name}: the registry does not find what was submitted")
    return found


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def _run(*arguments: str | Path) -> None:
    """Run a command as a person would, and show it.

    Raises:
        CommandError: it failed; it has said why.
    """
    from xds.cli import main  # noqa: PLC0415 - the command line knows this command

    words = [str(argument) for argument in arguments]
    terminal.say("")
    say(f"xds {shlex.join(words)}")
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            raise CommandError(f"xds {words[0]} ended with exit code {end.code}") from None


def _connection_sheet(settings: Settings) -> None:
    """Show what an integrator needs to know, as the server tells it."""
    url, tls = settings.client.registry, app.client_tls(settings)
    if not (url and tls):
        raise CommandError("the settings have no complete section [client]")
    context = client_context(tls)
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    with opener.open(f"{url.removesuffix('/registry')}/?format=json", timeout=20) as answer:
        sheet = json.load(answer)
    terminal.say("\nConnection sheet")
    for name, value in _lines(sheet):
        terminal.say(f"  {name:<28}{value}")


def _lines(sheet: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for actor, url in sheet["endpoints"].items():
        yield f"{actor} endpoint", url
        yield f"{actor} WSDL", f"{url}?wsdl"
    yield "repositoryUniqueId", sheet["repositoryUniqueId"]
    yield "patient id domains", ", ".join(sheet["patientAuthorities"]) or "any"
    for row in sheet["transactions"]:
        yield row["number"], f"{row['name']} ({row['packaging']})"
    for name, report in sheet["certificates"].items():
        yield name, f"{report['subject']}, until {report['notAfter'][:10]}"
        yield "", f"SHA-256 {report['sha256']}"


def _next_steps(config: Path, *, serving: bool) -> None:
    certs = config.parent / init.CERTS
    curl = f"curl --cert {certs}/client.pem --key {certs}/client.key --cacert {certs}/ca.pem"
    url = load(config).client.registry or ""
    server = "" if serving else "  (first: xds serve -c " + str(config) + ")"
    terminal.say(f"\nGo on with{server}")
    for command in (
        f"xds query -c {config} '{HANS}' --json",
        f"xds patient add -c {config} '4711^^^&{_AUTHORITY}&ISO'",
        f"xds submit -c {config} FILE... --patient '4711^^^&{_AUTHORITY}&ISO' {shlex.join((*_DISCHARGE, *_PLACE))}",
        f"xds check -c {config}",
        f"{curl} {url.removesuffix('/registry')}/",
    ):
        terminal.say(f"  {command}")
