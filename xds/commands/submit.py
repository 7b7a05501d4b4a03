"""`xds submit`: file documents (ITI-41), one submission each.

1  describe each file: options, what the document says of itself, [defaults]
2  ask the registry, many at a time, which of them are in already
3  send the rest, several at a time over kept-alive connections

Steps 1 and 2 are a portion ahead of step 3, so that the peers never wait. A run that was broken off is simply started
again. A file that fails does not stop the others; a peer that is gone does. Where step 2 is refused, the portion is
left for the next run.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any, TypeVar

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
from xds.commands.filing import Filing, Known, Outcome, Result
from xds.commands.metadata import from_options, from_settings
from xds.commands.peers import Authorities, Certificate, Key, RegistryURL, RepositoryURL, connect
from xds.config import zone as time_zone
from xds.errors import Refused, SoapFault
from xds.metadata.vocabulary import AssociationType

T = TypeVar("T")
R = TypeVar("R")

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
BATCH = 100
PATIENCE = 5
"""Files in a row that get no answer before the rest is left for the next run."""


def submit(
    ctx: typer.Context,
    given: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="CDA documents, PDF, text, images ...; a directory means the files in it and below, but hidden ones.",
        ),
    ],
    patient_id: Annotated[
        str | None, typer.Option("--patient", "--patient-id", metavar="ID", help="patientId, 'ID^^^&OID&ISO'.")
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
    files = list(dict.fromkeys(_files(given)))
    relation = _relation(
        files,
        unique_id,
        {AssociationType.RPLC: replace, AssociationType.APND: append, AssociationType.XFRM: transform},
    )
    begun = time.monotonic()
    with connect(
        config, registry=registry, repository=repository, cert=cert, key=key, cacert=cacert, connections=jobs + 1
    ) as peers:
        settings = peers.settings.defaults
        options = from_options(ctx.params, peers.affinity, settings)
        defaults = from_settings(settings.model_copy(update={"zone": _zone(zone)} if zone else {}))
        filing = Filing(peers, options, defaults, relation)
        done = _Done(as_json)
        try:
            _all(filing, files, jobs, done, quiet=as_json)
        except KeyboardInterrupt:
            done.interrupted = True
    if as_json:
        terminal.json([done.kept[path] for path in files if path in done.kept])
    _end(done, time.monotonic() - begun)


@dataclass
class _Done:
    """What became of the files: numbers, and for machines each one.

    Attributes:
        each: whether all are kept.
        counts: files of each outcome.
        kept: as JSON.
        interrupted: whether the person at the terminal broke it off.
    """

    each: bool
    counts: Counter[Outcome] = field(default_factory=Counter)
    kept: dict[Path, dict[str, Any]] = field(default_factory=dict)
    interrupted: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, result: Result) -> None:
        """Take one as it comes, from whichever thread."""
        with self.lock:
            self.counts[result.outcome] += 1
            if self.each:
                self.kept[result.path] = result.as_json()


def _files(given: Iterable[Path]) -> Iterator[Path]:
    """The files that are meant: a directory means those in it and below, in order, but hidden ones."""
    for path in given:
        if not _is_directory(path):
            yield path
        elif not (found := sorted(_below(path))):
            raise CommandError(f"{path}: there is no file in this directory", USAGE)
        else:
            yield from found


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # told with the other files' results, when it is to be read
        return False


def _below(directory: Path) -> Iterator[Path]:
    try:
        for path in directory.iterdir():
            if path.name.startswith("."):
                continue
            if path.is_dir() and not path.is_symlink():
                yield from _below(path)
            elif path.is_file():
                yield path
    except OSError as error:
        raise CommandError(f"{directory}: cannot be read: {error.strerror or error}", USAGE) from None


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


def _all(filing: Filing, files: list[Path], jobs: int, done: _Done, *, quiet: bool) -> None:
    """File everything; what became of each file is taken and told as it comes.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once what was under way is taken and told too.
    """
    ended: SimpleQueue[Future[Result]] = SimpleQueue()
    bar = _bar(len(files))

    def take() -> None:
        future = ended.get()
        if not future.cancelled():
            _tell(future.result(), bar, quiet=quiet)

    def over(future: Future[Result]) -> None:
        if not future.cancelled() and not future.exception():
            done.take(future.result())  # in the thread that sent it: Ctrl-C does not come in between
        ended.put(future)

    try:
        with _threads(jobs, "submit") as pool, _threads(1, "ahead") as ahead, _hurried(), bar:
            _send_all(filing, ask.portions(files, BATCH), pool, ahead, over, take)
    except KeyboardInterrupt:
        while not ended.empty():
            take()
        raise


def _send_all(
    filing: Filing,
    portions: Iterable[list[Path]],
    pool: ThreadPoolExecutor,
    ahead: ThreadPoolExecutor,
    over: Callable[[Future[Result]], None],
    take: Callable[[], None],
) -> None:
    """Send portions; `over` gets what has ended, `take` waits for one of them."""
    gone = _Gone()
    under_way = 0
    for described, known in _ahead(ahead, partial(gone.prepare, filing), portions):
        for result in described:
            pool.submit(gone.guard, filing, result, known).add_done_callback(over)
        under_way += len(described)
        while under_way > BATCH // 2:
            under_way -= 1
            take()
    for _ in range(under_way):
        take()


@contextmanager
def _threads(number: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that at the end, if it is not a good one, finish what they have in hand and no more."""
    pool = ThreadPoolExecutor(number, name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _hurried() -> Iterator[None]:
    """After Ctrl-C what is under way comes to its end; after another one the program is gone at once."""
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        terminal.say("Stopping as soon as what is under way has ended; Ctrl-C again does not wait for that.")
        raise


def _ahead(pool: ThreadPoolExecutor, prepare: Callable[[T], R], portions: Iterable[T]) -> Iterator[R]:
    """Portions prepared, each while the one before is in use."""
    before: Future[R] | None = None
    for portion in portions:
        following = pool.submit(prepare, portion)
        if before is not None:
            yield before.result()
        before = following
    if before is not None:
        yield before.result()


class _Gone:
    """Stops sending when a peer does not answer any more."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._asked = False
        self._lock = threading.Lock()

    def is_set(self) -> bool:
        """Whether to give up."""
        return self._in_a_row >= PATIENCE

    def prepare(self, filing: Filing, files: list[Path]) -> tuple[list[Result], Known]:
        """Describe some files and ask which are in; a registry that does not answer is gone.

        Where it refuses the question, none of them is sent.

        Raises:
            PeerUnavailable: it did not even answer the first time.
        """
        described = list(map(filing.describe, files))
        try:
            known = Known() if self.is_set() else filing.known(described)
        except PeerUnavailable as error:
            if not self._asked:
                raise
            terminal.say(f"xds: {error}")
            self._in_a_row = PATIENCE
            return described, Known()
        except (Refused, SoapFault) as error:
            described, known = [_unasked(result, error) for result in described], Known()
        self._asked = True
        return described, known

    def guard(self, filing: Filing, result: Result, known: Known) -> Result:
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
            self._in_a_row = 0
        return result


def _unasked(result: Result, error: Refused | SoapFault) -> Result:
    return result.failed(Outcome.UNSENT, error) if result.outcome is Outcome.DESCRIBED else result


def _bar(total: int) -> Progress:
    """A bar with the rate, on a terminal and for more than one file."""
    words = terminal.words
    columns = (
        BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
    )  # fmt: skip
    bar = Progress(*columns, console=words, transient=True, disable=not words.is_terminal or total == 1)
    bar.add_task("", total=total, rate="")
    return bar


def _tell(result: Result, bar: Progress, *, quiet: bool) -> None:
    """Advance the bar, with a line for each file that went wrong; without a bar a line for each."""
    done = bar.tasks[0]
    bar.update(done.id, advance=1, rate=f"{done.speed:.0f}/s" if done.speed else "")
    if bar.disable or result.outcome not in (Outcome.SUBMITTED, Outcome.KNOWN) or terminal.verbose:
        _report(result, bar, quiet=quiet)


def _report(result: Result, bar: Progress, *, quiet: bool) -> None:
    lines = [f"{result.path}: {result.outcome.value}" + (f", uniqueId {result.unique_id}" if result.unique_id else "")]
    lines += [f"  {text}" for text in result.problems]
    lines += [f"  note: {note}" for note in result.notes if terminal.verbose or result.outcome is not Outcome.SUBMITTED]
    if quiet and result.outcome in (Outcome.SUBMITTED, Outcome.KNOWN):
        return
    for line in lines:
        bar.console.print(line)


def _end(done: _Done, seconds: float) -> None:
    """Say how it went, and how fast if there were many.

    Raises:
        typer.Exit: something was not filed.
    """
    counts, number = done.counts, done.counts.total()
    said = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome]) or "nothing done"
    rate = f"; {seconds:.0f} s, {number / seconds:.0f}/s" if number >= BATCH else ""
    terminal.say(f"{said}{rate}.")
    if done.interrupted:
        terminal.say("Interrupted; run the command again to go on.")
        raise typer.Exit(INTERRUPTED)
    if counts[Outcome.REFUSED] or counts[Outcome.UNSENT]:
        raise typer.Exit(REFUSED)
    if counts[Outcome.INCOMPLETE]:
        raise typer.Exit(USAGE)
