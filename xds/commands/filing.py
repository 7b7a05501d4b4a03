"""Filing one document: its description, whether it is in already, its submission (ITI-41)."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from xds.actors import DocumentRegistry
from xds.commands import ask
from xds.commands.peers import CALLER, Peers
from xds.content.cda import CDAHeader, Related, read_header
from xds.content.draft import NOTHING, Defaults
from xds.content.entry import plain_entry, to_entry
from xds.content.files import HEAD, describe_file, unique_id_of
from xds.content.header import ContentError, is_cda
from xds.content.submission import Relationship, SubmissionDraft, submission_for
from xds.ebxml.rs import submit_request
from xds.errors import Code, Refused, Severity, SoapFault, XDSError
from xds.messages import ProvideAndRegister, RegistryResponse, SubmittedDocument
from xds.metadata.model import DocumentEntry, Submission
from xds.metadata.vocabulary import AssociationType

_CHUNK = 1 << 20


class Outcome(Enum):
    """What became of a file; the value is for people."""

    DESCRIBED = "described"
    SUBMITTED = "submitted"
    KNOWN = "already in"
    REFUSED = "refused"
    INCOMPLETE = "incomplete"
    UNSENT = "not sent"


@dataclass(frozen=True)
class Result:
    """A file and what became of it.

    Attributes:
        path: the file.
        outcome: so far.
        entry: its DocumentEntry, as far as it is known.
        recipients: intendedRecipient values of the document.
        related: earlier documents it says it relates to.
        submission: it alone, related to none; None unless it can be sent.
        errors: RegistryErrors.
        problems: what else is wrong, in words.
        notes: what a person should know.
    """

    path: Path
    outcome: Outcome = Outcome.DESCRIBED
    entry: DocumentEntry | None = None
    recipients: tuple[str, ...] = ()
    related: tuple[Related, ...] = ()
    submission: Submission | None = None
    errors: tuple[XDSError, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def unique_id(self) -> str:
        """UniqueId of the document; empty if it has none yet."""
        return self.entry.unique_id.value if self.entry and self.entry.unique_id else ""

    @property
    def patient_id(self) -> str:
        """PatientId of the document; empty if it has none yet."""
        return self.entry.patient_id.value if self.entry and self.entry.patient_id else ""

    def ended(
        self, outcome: Outcome, *problems: str, errors: Iterable[XDSError] = (), notes: Iterable[str] = ()
    ) -> Result:
        """The same file with what became of it."""
        return replace(
            self,
            outcome=outcome,
            problems=(*self.problems, *problems),
            errors=tuple(errors),
            notes=(*self.notes, *notes),
        )

    def failed(self, outcome: Outcome, error: Refused | SoapFault) -> Result:
        """The same file, ended by what an actor answered."""
        if isinstance(error, Refused):
            return self.ended(outcome, *map(str, error.errors), errors=error.errors)
        return self.ended(outcome, f"the peer takes this for no valid message: {error}")

    def as_json(self) -> dict[str, Any]:
        """For machines; what does not apply is left out."""
        values = {
            "file": str(self.path),
            "outcome": self.outcome.value,
            "uniqueId": self.unique_id,
            "entryUUID": self.entry.id if self.entry and self.outcome is Outcome.SUBMITTED else "",
            "patientId": self.patient_id,
            "errors": [
                {"errorCode": str(error.code), "codeContext": error.context, "location": error.location}
                for error in self.errors
            ],
            "problems": list(self.problems),
            "notes": list(self.notes),
        }
        return {name: value for name, value in values.items() if value}


class Filing:
    """Files documents with one pair of actors.

    Args:
        peers: whom to ask and where to send.
        options: values that come before those of documents.
        defaults: values for what documents lack.
        relation: of the only file to an earlier document, by uniqueId.
    """

    def __init__(
        self,
        peers: Peers,
        options: Defaults,
        defaults: Defaults = NOTHING,
        relation: tuple[AssociationType, str] | None = None,
    ) -> None:
        self._peers = peers
        self._registry = peers.registry
        self._repository = peers.repository
        self._options = options
        self._defaults = defaults
        self._relation = relation
        self._seen: dict[str, Path] = {}
        self._lock = threading.Lock()

    # 1

    def describe(self, path: Path) -> Result:
        """Make the DocumentEntry of a file, or say what is missing."""
        try:
            result, missing = self._describe(path)
        except ContentError as error:
            return Result(path, Outcome.INCOMPLETE, problems=(str(error),))
        except OSError as error:
            return Result(path, Outcome.INCOMPLETE, problems=(f"cannot be read: {error.strerror or error}",))
        draft = self._draft(result)
        missing += [str(each) for each in draft.missing]
        if missing:
            return result.ended(Outcome.INCOMPLETE, *missing)
        return replace(result, submission=draft.submission, notes=(*result.notes, *draft.notes))

    def _describe(self, path: Path) -> tuple[Result, list[str]]:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
            stream.seek(0)
            header = read_header(stream) if is_cda(head) else None
            stream.seek(0)
            derived = "" if header and header.id else unique_id_of(stream)
        draft = self._entry(path, header, derived)
        described = Result(path, entry=draft.entry, notes=draft.notes)
        if header:
            described = replace(described, recipients=header.recipients, related=header.related)
        return described, list(map(str, draft.missing))

    def _entry(self, path: Path, header: CDAHeader | None, derived: str) -> Any:
        common: dict[str, Any] = {"options": self._options, "entry_id": uuid4().urn}
        if header:
            defaults = self._defaults if header.id else replace(self._defaults, unique_id=derived)
            return to_entry(header, defaults, self._peers.affinity, **common)
        return plain_entry(derived, describe_file(path), self._defaults, self._peers.affinity, **common)

    def _draft(self, result: Result, relationships: Sequence[Relationship] = ()) -> SubmissionDraft:
        return submission_for(
            [_entry_of(result)],
            self._defaults,
            self._peers.affinity,
            options=self._options,
            recipients=result.recipients,
            relationships=relationships,
        )

    # 2

    def known(self, results: Iterable[Result]) -> Known:
        """Ask the registry whether it has any of these documents: one question for all, and mostly it has none.

        Raises:
            Refused: the registry's errors.
            SoapFault: it takes the question for no valid message.
            PeerUnavailable: it does not answer.
        """
        described = [result for result in results if result.outcome is Outcome.DESCRIBED]
        if not described or not ask.any_known(self._registry, [result.unique_id for result in described]):
            return Known()
        return Known(self._registry, described)

    # 3

    def send(self, result: Result, known: Known) -> Result:
        """Submit a described document, unless it is in.

        Raises:
            PeerUnavailable: a peer does not answer; the document may have been registered.
        """
        with self._lock:
            first = self._seen.setdefault(result.unique_id, result.path)
        if first is not result.path:
            return result.ended(Outcome.KNOWN, notes=[f"the same document as {first}"])
        try:
            if entry := known.entry(result):
                return _compare(result, entry)
            relationships, notes = self._relationships(result)
            related = self._draft(result, relationships).submission if relationships else None
            answer = ask.unless_busy(partial(self._send, result, related or _submission_of(result)))
        except (Refused, SoapFault) as error:
            return result.failed(Outcome.REFUSED, error)
        return _answered(result, answer, notes)

    def _relationships(self, result: Result) -> tuple[list[Relationship], list[str]]:
        """Earlier documents this one relates to, by option or because it says so.

        Raises:
            Refused: the one of the option is not registered.
        """
        found: list[Relationship] = []
        notes: list[str] = []
        stated = [] if self._relation else [(each.type, each.unique_id) for each in result.related]
        for kind, target in [self._relation] if self._relation else stated:
            entry = _by_unique_id(ask.by_unique_id(self._registry, [target])).get(target)
            if entry:
                found.append(Relationship(kind, _entry_of(result).id, entry.id))
            elif self._relation:
                raise Refused(
                    [XDSError(Code.UnresolvedReferenceException, f"the registry knows no document {target}", target)]
                )
            else:
                notes.append(f"it says it relates to {target}, which the registry does not know; filed without that")
        return found, notes

    def _send(self, result: Result, submission: Submission) -> RegistryResponse:
        with result.path.open("rb") as content:
            document = SubmittedDocument(_entry_of(result).id, content)
            request = ProvideAndRegister(submit_request(submission), (document.id,), iter([document]))
            return self._repository.provide_and_register(request, CALLER)


class Known:
    """The registry's entries for some documents, asked for as they are needed: for each patient once.

    A registry answers in full for one patient at a time (ITI TF-2 3.18.4.1.2.3.7); the threads that send ask side by
    side.
    """

    def __init__(self, registry: DocumentRegistry | None = None, described: Iterable[Result] = ()) -> None:
        self._registry = registry
        self._of_patient: dict[str, _OfPatient] = defaultdict(_OfPatient)
        for result in described:
            self._of_patient[result.patient_id].unique_ids.append(result.unique_id)

    def entry(self, result: Result) -> DocumentEntry | None:
        """The entry of a document, if it is in.

        Raises:
            Refused: the registry's errors.
            PeerUnavailable: it does not answer.
        """
        if self._registry is None:
            return None
        patient = self._of_patient[result.patient_id]
        with patient.lock:
            if patient.found is None:
                patient.found = _by_unique_id(ask.by_unique_id(self._registry, patient.unique_ids))
        return patient.found.get(result.unique_id)


@dataclass
class _OfPatient:
    unique_ids: list[str] = field(default_factory=list)
    found: dict[str, DocumentEntry] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


def _entry_of(result: Result) -> DocumentEntry:
    if result.entry is None:
        raise ValueError("a file is described before it is sent")
    return result.entry


def _submission_of(result: Result) -> Submission:
    if result.submission is None:
        raise ValueError("a file is described before it is sent")
    return result.submission


def _by_unique_id(entries: Iterable[DocumentEntry]) -> dict[str, DocumentEntry]:
    return {entry.unique_id.value: entry for entry in entries if entry.unique_id}


def _compare(result: Result, entry: DocumentEntry) -> Result:
    """A document whose uniqueId is registered: the same, or another one, or one of somebody else."""
    if entry.patient_id and entry.patient_id.value != result.patient_id:
        problem = f"this document is registered for another patient, {entry.patient_id.value}"
        return result.ended(Outcome.REFUSED, problem)
    sha1 = _sha1(result.path)
    if entry.hash and entry.hash.lower() != sha1:
        problem = (
            f"a document with this uniqueId and other content is registered (SHA-1 {entry.hash}, the file has {sha1})"
        )
        return result.ended(Outcome.REFUSED, problem)
    return result.ended(Outcome.KNOWN)


def _sha1(path: Path) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _answered(result: Result, answer: RegistryResponse, notes: Iterable[str]) -> Result:
    serious = [error for error in answer.errors if error.severity is Severity.ERROR]
    warnings = _words(error for error in answer.errors if error.severity is not Severity.ERROR)
    if serious:
        return result.ended(Outcome.REFUSED, *_words(serious), errors=serious, notes=[*notes, *warnings])
    return result.ended(Outcome.SUBMITTED, notes=[*notes, *warnings])


def _words(errors: Iterable[XDSError]) -> Iterator[str]:
    return map(str, errors)
