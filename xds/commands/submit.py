"""`xds submit`: file documents (ITI-41), one submission each.

1  describe each file: options, what the document says of itself, [defaults]
2  ask the registry, many at a time, which of them are in already
3  send the rest, several at a time over kept-alive connections

So a run that was broken off is simply started again. A file that fails does not stop the others; a peer that is gone
does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xds.actors import PeerUnavailable
from xds.commands import ask
from xds.commands.common import (
    REFUSED,
    USAGE,
    AsJson,
    CommandError,
    OptionalConfigFile,
    Verbose,
    terminal,
)
from xds.commands.filing import Filing, Outcome, Result
from xds.commands.metadata import from_options, from_settings
from xds.commands.peers import Authorities, Certificate, Key, RegistryURL, RepositoryURL, connect
from xds.config import zone as time_zone
from xds.metadata.model import DocumentEntry
from xds.metadata.vocabulary import AssociationType

BATCH = 100
PATIENCE = 5
"""Files in a row that get no answer before the rest is left for the next run."""


def submit(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CDA documents, PDF, text, images ...")],
    patient_id: Annotated[
        str | None, typer.Option("--patient", metavar="ID", help="patientId, 'ID^^^&OID&ISO'.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="title.")] = None,
    type_code: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="typeCode, code^^codingScheme; the code alone where codes.xml has just one."),
    ] = None,
    class_code: Annotated[str | None, typer.Option(metavar="CODE", help="classCode.")] = None,
    format_code: Annotated[str | None, typer.Option(metavar="CODE", help="formatCode.")] = None,
    confidentiality_code: Annotated[list[str] | None, typer.Option(metavar="CODE", help="confidentialityCode.")] = None,
    event_code_list: Annotated[list[str] | None, typer.Option(metavar="CODE", help="eventCodeList.")] = None,
    healthcare_facility_type_code: Annotated[
        str | None, typer.Option(metavar="CODE", help="healthcareFacilityTypeCode.")
    ] = None,
    practice_setting_code: Annotated[str | None, typer.Option(metavar="CODE", help="practiceSettingCode.")] = None,
    content_type_code: Annotated[
        str | None, typer.Option(metavar="CODE", help="contentTypeCode of the submission.")
    ] = None,
    author_person: Annotated[str | None, typer.Option(metavar="XCN", help="authorPerson.")] = None,
    author_institution: Annotated[str | None, typer.Option(metavar="XON", help="authorInstitution.")] = None,
    author_role: Annotated[str | None, typer.Option(help="authorRole.")] = None,
    author_specialty: Annotated[str | None, typer.Option(help="authorSpecialty.")] = None,
    legal_authenticator: Annotated[str | None, typer.Option(metavar="XCN", help="legalAuthenticator.")] = None,
    creation_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="creationTime, such as 2026-01-31T14:05 (UTC).")
    ] = None,
    service_start_time: Annotated[str | None, typer.Option(metavar="TIME", help="serviceStartTime.")] = None,
    service_stop_time: Annotated[str | None, typer.Option(metavar="TIME", help="serviceStopTime.")] = None,
    language_code: Annotated[str | None, typer.Option(help="languageCode, such as de-AT.")] = None,
    mime_type: Annotated[str | None, typer.Option(help="mimeType, where the file does not show it.")] = None,
    zone: Annotated[
        str | None, typer.Option(help="Time zone of times in the document that name none, such as Asia/Shanghai.")
    ] = None,
    comments: Annotated[str | None, typer.Option(help="comments.")] = None,
    source_patient_id: Annotated[str | None, typer.Option(metavar="ID", help="sourcePatientId.")] = None,
    source_id: Annotated[str | None, typer.Option(metavar="OID", help="sourceId of the submission.")] = None,
    unique_id: Annotated[str | None, typer.Option(metavar="ID", help="uniqueId of the only file.")] = None,
    replace: Annotated[
        str | None, typer.Option(metavar="UNIQUEID", help="The only file replaces this document.")
    ] = None,
    append: Annotated[
        str | None, typer.Option(metavar="UNIQUEID", help="The only file is an addendum to this document.")
    ] = None,
    transform: Annotated[
        str | None, typer.Option(metavar="UNIQUEID", help="The only file is a transformation of this document.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, envvar="XDS_JOBS", help="Submissions under way at a time.")] = 4,
    as_json: AsJson = False,
    config: OptionalConfigFile = None,
    registry: RegistryURL = None,
    repository: RepositoryURL = None,
    cert: Certificate = None,
    key: Key = None,
    cacert: Authorities = None,
    verbose: Verbose = False,
) -> None:
    """File documents, one submission each; those that are in already are reported, not doubled."""
    relation = _relation(
        files,
        unique_id,
        {AssociationType.RPLC: replace, AssociationType.APND: append, AssociationType.XFRM: transform},
    )
    begun = time.monotonic()
    with connect(
        config, registry=registry, repository=repository, cert=cert, key=key, cacert=cacert, connections=jobs
    ) as peers:
        settings = peers.settings.defaults
        options = from_options(ctx.params, peers.affinity, settings)
        defaults = from_settings(settings.model_copy(update={"zone": _zone(zone)} if zone else {}))
        filing = Filing(peers, options, defaults, relation)
        results = list(_all(filing, list(dict.fromkeys(files)), jobs, quiet=as_json))
    if as_json:
        terminal.json([result.as_json() for result in sorted(results, key=lambda result: files.index(result.path))])
    _end(results, time.monotonic() - begun)


def _zone(text: str) -> str:
    try:
        time_zone(text)
    except ValueError:
        raise CommandError(f"--zone {text}: expected a time zone such as Europe/Vienna or +01:00", USAGE) from None
    return text


def _relation(
    files: list[Path], unique_id: str | None, given: dict[AssociationType, str | None]
) -> tuple[AssociationType, str] | None:
    relations = [(kind, target) for kind, target in given.items() if target]
    if len(relations) > 1:
        raise CommandError("--replace, --append, --transform: expected one of them", USAGE)
    if (relations or unique_id) and len(files) > 1:
        raise CommandError("--unique-id, --replace, --append and --transform are for a single FILE", USAGE)
    return relations[0] if relations else None


def _all(filing: Filing, files: list[Path], jobs: int, *, quiet: bool) -> Iterator[Result]:
    """File everything; yields each result as it comes."""
    gone = _Gone()
    with _progress(len(files), quiet=quiet) as advance, ThreadPoolExecutor(jobs, "submit") as pool:
        running: list[Future[Result]] = []
        for batch in ask.portions(files, BATCH):
            described = list(pool.map(filing.describe, batch))
            known = gone.known(filing, described)
            running = [pool.submit(gone.guard, filing, each, known) for each in described]
            for future in as_completed(running):
                result = future.result()
                advance(result)
                yield result


class _Gone:
    """Stops sending when a peer does not answer any more."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._answered = False
        self._lock = threading.Lock()

    def is_set(self) -> bool:
        """Whether to give up."""
        return self._in_a_row >= PATIENCE

    def known(self, filing: Filing, described: list[Result]) -> dict[str, DocumentEntry]:
        """Ask which are in; a registry that does not answer is gone."""
        if self.is_set():
            return {}
        try:
            return filing.known(described)
        except PeerUnavailable as error:
            if self._in_a_row == 0 and not self._answered:
                raise
            terminal.say(f"xds: {error}")
            self._in_a_row = PATIENCE
            return {}

    def guard(self, filing: Filing, result: Result, known: dict[str, DocumentEntry]) -> Result:
        """Send one file, unless the peer is gone."""
        if result.outcome is not Outcome.DESCRIBED:
            return result
        if self.is_set():
            return result.ended(Outcome.UNSENT, "not sent, since the peer gives no answer; run the command again")
        try:
            result = filing.send(result, known)
        except PeerUnavailable as error:
            with self._lock:
                self._in_a_row += 1
            return result.ended(Outcome.UNSENT, f"{error}")
        with self._lock:
            self._in_a_row, self._answered = 0, True
        return result


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Any]:
    """A bar with the rate on a terminal; a line for each file elsewhere, and for those that went wrong."""
    words = terminal.words
    columns = (
        BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=words, transient=True, disable=not words.is_terminal or total == 1) as bar:
        task = bar.add_task("", total=total, rate="")

        def advance(result: Result) -> None:
            done = bar.tasks[0]
            bar.update(task, advance=1, rate=f"{done.speed:.0f}/s" if done.speed else "")
            if bar.disable or result.outcome not in (Outcome.SUBMITTED, Outcome.KNOWN) or terminal.verbose:
                _report(result, bar, quiet=quiet)

        yield advance


def _report(result: Result, bar: Progress, *, quiet: bool) -> None:
    lines = [f"{result.path}: {result.outcome.value}" + (f", uniqueId {result.unique_id}" if result.unique_id else "")]
    lines += [f"  {text}" for text in result.problems]
    lines += [f"  note: {note}" for note in result.notes if terminal.verbose or result.outcome is not Outcome.SUBMITTED]
    if quiet and result.outcome in (Outcome.SUBMITTED, Outcome.KNOWN):
        return
    for line in lines:
        bar.console.print(line)


def _end(results: list[Result], seconds: float) -> None:
    """Say how it went, and how fast if there were many.

    Raises:
        typer.Exit: something was not filed.
    """
    counts = dict.fromkeys(Outcome, 0)
    for result in results:
        counts[result.outcome] += 1
    said = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
    rate = f" in {seconds:.0f} s ({len(results) / seconds:.0f}/s)" if len(results) >= BATCH else ""
    terminal.say(f"{said}{rate}.")
    if counts[Outcome.REFUSED] or counts[Outcome.UNSENT]:
        raise typer.Exit(REFUSED)
    if counts[Outcome.INCOMPLETE]:
        raise typer.Exit(USAGE)
