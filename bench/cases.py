"""What is measured: a case for each transaction and size, as requests ready to be sent.

The same octets go to the server and to the floor, but for the path. What changes from request to request (message id,
uniqueIds, patient) is marked while the request is rendered by the product's own codecs, and found again afterwards.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from generator import Field, Request
from population import Population, patient_id

from xds.ebxml import rs, xdsb
from xds.messages import AdhocQuery, DocumentRequest, ReturnType
from xds.metadata.model import Submission
from xds.metadata.vocabulary import AvailabilityStatus
from xds.queries.table import TABLE
from xds.soap import envelope
from xds.transactions import ITI_18, ITI_41, ITI_42, ITI_43, Transaction

KB, MB, GB = 1000, 1000_000, 1 << 30
BOUNDARY = b"bench-6f1c0f5a"
PATIENT_FIELD = "@@patient@"
_MARK = re.compile(rb"@@[a-z0-9]+@+")
_QUERY_ID = {row.name: row.id for row in TABLE}
_APPROVED = (f"('{AvailabilityStatus.APPROVED}')",)


@dataclass(frozen=True)
class Seeded:
    """What the databases hold before the clock starts.

    Attributes:
        writers: numbers of the patients that submissions are for; they have no documents at the start.
        with_10: numbers of patients with 10 documents of one submission.
        with_100: numbers of patients with 100 documents of ten submissions.
        entry_uuids: ten entryUUIDs of one patient in each row.
        repository: repositoryUniqueId.
        small: uniqueIds of documents of 10 KB.
        middle: uniqueIds of documents of 100 KB, ten in each row.
        large: uniqueId of the one of 1 GB, None if it was not asked for.
    """

    writers: range
    with_10: range
    with_100: range
    entry_uuids: Sequence[Sequence[str]]
    repository: str
    small: Sequence[str]
    middle: Sequence[Sequence[str]]
    large: str | None = None


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        name: as in `ITI-42, 1 entry`.
        transaction: its row.
        floor: path of the floor's handler (`floor.HANDLERS`).
        build: makes the request for a path.
        huge: gigabytes: one request at a time, none to warm up.
    """

    name: str
    transaction: Transaction
    floor: str
    build: Callable[[Seeded, str], Request]
    huge: bool = False

    def requests(self, seeded: Seeded) -> tuple[Request, Request]:
        """The request for the server, and that for the floor."""
        return self.build(seeded, f"/{self.transaction.actor}"), self.build(seeded, self.floor)


def cases(huge: int = GB) -> tuple[Case, ...]:
    """All cases.

    Args:
        huge: octets of the largest document.
    """
    leaf, ref = ReturnType.LEAF_CLASS, ReturnType.OBJECT_REF
    size = f"{huge >> 30} GB" if huge >= GB else f"{huge >> 20} MB"
    return (
        Case("ITI-42, 1 entry", ITI_42, "/register", lambda seeded, path: register(seeded, path, 1)),
        Case("ITI-42, 10 entries", ITI_42, "/register", lambda seeded, path: register(seeded, path, 10)),
        Case("ITI-41, 10 KB CDA", ITI_41, "/provide", lambda seeded, path: provide(seeded, path, 10 * KB)),
        Case(
            "ITI-41, 10 x 10 KB CDA", ITI_41, "/provide", lambda seeded, path: provide(seeded, path, 10 * KB, count=10)
        ),
        Case(
            "ITI-41, 5 MB PDF",
            ITI_41,
            "/provide",
            lambda seeded, path: provide(seeded, path, 5 * MB, mime_type="application/pdf"),
        ),
        Case(f"ITI-41, {size}", ITI_41, "/provide", lambda seeded, path: provide(seeded, path, huge), huge=True),
        Case(
            "ITI-18, FindDocuments, 10 in full", ITI_18, "/find", lambda seeded, path: find(path, seeded.with_10, leaf)
        ),
        Case(
            "ITI-18, FindDocuments, 10 refs", ITI_18, "/find-refs", lambda seeded, path: find(path, seeded.with_10, ref)
        ),
        Case(
            "ITI-18, FindDocuments, 100 in full",
            ITI_18,
            "/find",
            lambda seeded, path: find(path, seeded.with_100, leaf),
        ),
        Case(
            "ITI-18, FindDocuments, 100 refs",
            ITI_18,
            "/find-refs",
            lambda seeded, path: find(path, seeded.with_100, ref),
        ),
        Case("ITI-18, GetDocuments, 10 in full", ITI_18, "/get-documents", get_documents),
        Case("ITI-18, GetAll, 21 objects", ITI_18, "/get-all", get_all),
        Case(
            "ITI-43, 10 KB",
            ITI_43,
            "/retrieve",
            lambda seeded, path: retrieve(seeded, path, [[id_] for id_ in seeded.small]),
        ),
        Case("ITI-43, 10 x 100 KB", ITI_43, "/retrieve", lambda seeded, path: retrieve(seeded, path, seeded.middle)),
        Case(
            f"ITI-43, {size}",
            ITI_43,
            "/retrieve",
            lambda seeded, path: retrieve(seeded, path, [[seeded.large or ""]]),
            huge=True,
        ),
    )


# --- the messages -----------------------------------------------------------------------------------------------


def submission(entries: int, **changes: Any) -> Submission:
    """A submission with marks for patient and uniqueIds."""
    marks = [_oid_mark(number) for number in range(entries + 1)]
    drawn = Population(seed=42).submission(f"{PATIENT_FIELD}{patient_id(0)[10:]}", marks[1:], marks[0])
    return replace(drawn, entries=tuple(replace(entry, **changes) for entry in drawn.entries))


def _oid_mark(number: int) -> str:
    return "2.25.1" + f"@@oid{number}".ljust(38, "@")


def register(seeded: Seeded, path: str, entries: int) -> Request:
    """ITI-42: every submission new, patients in turn."""
    body = rs.encode_submit(submission(entries))
    return _plain(ITI_42, path, body, _patients(seeded.writers))


def provide(seeded: Seeded, path: str, size: int, *, count: int = 1, mime_type: str = "text/xml") -> Request:
    """ITI-41: documents of one size, each with a uniqueId of its own; the repository fills in size and hash.

    The first one is sent in blocks, however large it is. The others stand in the tail, which is sent as it is.
    """
    changes: dict[str, Any] = {"hash": None, "size": None, "repository_unique_id": None, "mime_type": mime_type}
    submit = rs.encode_submit(submission(count, **changes))
    body = xdsb.encode_provide(submit, [(f"doc{number}", f"document{number}@bench") for number in range(count)])
    first, *others = (_part(number, mime_type) for number in range(count))
    noise = random.Random(2)  # other octets than the generator's blocks
    following = b"".join(part + noise.randbytes(size) for part in others)
    return _multipart(ITI_41, path, body, _patients(seeded.writers), (first, size, following))


def _part(number: int, mime_type: str) -> bytes:
    """What stands before a document's octets."""
    return (
        f"\r\n--{BOUNDARY.decode()}\r\nContent-Type: {mime_type}\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <document{number}@bench>\r\n\r\n"
    ).encode()


def find(path: str, patients: range, return_type: ReturnType) -> Request:
    """FindDocuments of a patient's Approved entries."""
    slots = (
        ("$XDSDocumentEntryPatientId", (f"'{PATIENT_FIELD}{patient_id(0)[10:]}'",)),
        ("$XDSDocumentEntryStatus", _APPROVED),
    )
    return _query(path, "FindDocuments", slots, return_type, _patients(patients))


def get_documents(seeded: Seeded, path: str) -> Request:
    """GetDocuments of ten entryUUIDs of one patient."""
    rows = [("(" + ",".join(f"'{id_}'" for id_ in ids) + ")").encode() for ids in seeded.entry_uuids]
    slots = (("$XDSDocumentEntryEntryUUID", ("@@uuids".ljust(len(rows[0]), "@"),)),)
    return _query(path, "GetDocuments", slots, ReturnType.LEAF_CLASS, {"uuids": rows})


def get_all(seeded: Seeded, path: str) -> Request:
    """GetAll of a patient with ten entries, one SubmissionSet and ten associations."""
    kinds = ("DocumentEntry", "SubmissionSet", "Folder")
    slots = (
        ("$patientId", (f"'{PATIENT_FIELD}{patient_id(0)[10:]}'",)),
        *((f"$XDS{kind}Status", _APPROVED) for kind in kinds),
    )
    return _query(path, "GetAll", slots, ReturnType.LEAF_CLASS, _patients(seeded.with_10))


def retrieve(seeded: Seeded, path: str, rows: Sequence[Sequence[str]]) -> Request:
    """ITI-43 of the documents of one row."""
    count = len(rows[0])
    marks = [f"@@doc{number}".ljust(len(rows[0][0]), "@") for number in range(count)]
    body = xdsb.encode_retrieve([DocumentRequest(seeded.repository, mark) for mark in marks])
    choices = {f"doc{number}": [row[number].encode() for row in rows] for number in range(count)}
    return _multipart(ITI_43, path, body, choices)


def _query(
    path: str,
    name: str,
    slots: tuple[tuple[str, tuple[str, ...]], ...],
    return_type: ReturnType,
    choices: Mapping[str, Sequence[bytes]],
) -> Request:
    return _plain(ITI_18, path, rs.encode_query(AdhocQuery(_QUERY_ID[name], slots, return_type)), choices)


def _patients(numbers: range) -> dict[str, list[bytes]]:
    return {"patient": [patient_id(number)[:10].encode() for number in numbers]}


# --- HTTP ---------------------------------------------------------------------------------------------------------


def _plain(row: Transaction, path: str, body: bytes, choices: Mapping[str, Sequence[bytes]]) -> Request:
    data = _envelope(row, body)
    return _marked(
        _http(path, f'application/soap+xml; charset=UTF-8; action="{row.action}"', len(data)) + data, choices
    )


def _multipart(
    row: Transaction,
    path: str,
    body: bytes,
    choices: Mapping[str, Sequence[bytes]],
    documents: tuple[bytes, int, bytes] = (b"", 0, b""),
) -> Request:
    """A message with MTOM; documents are the header of the first one's part, its size, and all that follows it."""
    part, size, following = documents
    kind = f'application/xop+xml; charset=UTF-8; type="application/soap+xml"; action="{row.action}"'
    root = b"--%b\r\nContent-Type: %b\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <root@bench>\r\n\r\n" % (
        BOUNDARY,
        kind.encode(),
    )
    head = root + _envelope(row, body) + part
    tail = following + b"\r\n--%b--\r\n" % BOUNDARY
    media = (
        f'multipart/related; type="application/xop+xml"; boundary="{BOUNDARY.decode()}"; start="<root@bench>"; '
        f'start-info="application/soap+xml"; action="{row.action}"'
    )
    request = _marked(_http(path, media, len(head) + size + len(tail)) + head, choices)
    return replace(request, repeat=size, tail=tail)


def _envelope(row: Transaction, body: bytes) -> bytes:
    message = "urn:uuid:00000000-0000-4000-8000-@@message@@@"
    return envelope.encode_request(row.action, f"https://localhost/{row.actor}", message, body)


def _http(path: str, media_type: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def _marked(data: bytes, choices: Mapping[str, Sequence[bytes]]) -> Request:
    """Find the marks; values that nothing varies would otherwise be sent as marks."""
    fields = [
        Field(match.start(), match.end() - match.start(), match[0].strip(b"@").decode())
        for match in _MARK.finditer(data)
    ]
    return Request(data, tuple(fields), choices=choices)
