"""What passes between the actors and whoever calls them: one dataclass per request and answer.

A SubmitObjectsRequest travels as the element that was sent, so that a Repository hands on what it does not understand
(ITI TF-2 3.41.4.1.3); everything else is typed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from xds.errors import Status, XDSError, response_status

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


class Readable(Protocol):
    """A stream of octets that is read once, from the socket or the store."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` octets, b"" at the end."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a message: the TLS peer, later joined by the user's assertion (ITI-19, ITI-40).

    Attributes:
        name: the certificate's subject as RFC 4514 text, or a name for a call from inside the process.
        fingerprint: SHA-256 of the certificate in hex; empty for a call from inside.
        address: network address of the TLS peer.
        message_id: wsa:MessageID of the request, for log and audit.
    """

    name: str
    fingerprint: str = ""
    address: str = ""
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class RegistryResponse:
    """rs:RegistryResponse (ITI TF-3 4.2.4); the status follows from the errors unless it was received."""

    errors: tuple[XDSError, ...] = ()
    received: Status | None = None

    @property
    def status(self) -> Status:
        """Success with or without warnings, or Failure."""
        return self.received or response_status(self.errors)


@dataclass(frozen=True, slots=True)
class SubmitObjectsRequest:
    """lcm:SubmitObjectsRequest of ITI-42, as sent (ITI TF-2 3.42.4.1)."""

    element: Element


@dataclass(frozen=True, slots=True)
class SubmittedDocument:
    """One document of ITI-41: the id of its ExtrinsicObject, and its octets as a stream read once."""

    id: str
    content: Readable


@dataclass(frozen=True, slots=True)
class ProvideAndRegister:
    """xds:ProvideAndRegisterDocumentSetRequest (ITI TF-2 3.41.4.1).

    Attributes:
        submission: the SubmitObjectsRequest in it.
        document_ids: `@id` of each xds:Document in message order, as sent (so that doubles are seen).
        documents: the documents in the order in which their octets arrive; reading one ends the previous one.
        broken: document id -> why its octets cannot be had (unresolved cid, bad base64); filled while reading.
    """

    submission: SubmitObjectsRequest
    document_ids: tuple[str, ...]
    documents: Iterator[SubmittedDocument]
    broken: Mapping[str, str] = field(default_factory=dict)


class ReturnType(StrEnum):
    """query:ResponseOption/@returnType (ITI TF-2 3.18.4.1.2.2)."""

    OBJECT_REF = "ObjectRef"
    LEAF_CLASS = "LeafClass"


@dataclass(frozen=True, slots=True)
class AdhocQuery:
    """query:AdhocQueryRequest as sent (ITI TF-2 3.18.4.1.2).

    Attributes:
        id: AdhocQuery/@id, the stored query's UUID.
        slots: name and values of each slot in message order; a name may stand several times (AND).
        return_type: as sent; None if absent.
        home: AdhocQuery/@home.
    """

    id: str
    slots: tuple[tuple[str, tuple[str, ...]], ...]
    return_type: str | None = ReturnType.LEAF_CLASS
    home: str | None = None


@dataclass(frozen=True, slots=True)
class ServedObject:
    """A registry object as ebRIM octets, complete and ready to be joined into an answer.

    Attributes:
        id: its entryUUID.
        body: the element with the prefix `rim`, which the answer's list declares.
    """

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class AdhocQueryResponse:
    """query:AdhocQueryResponse (ITI TF-2 3.18.4.1.2.6).

    Attributes:
        errors: RegistryErrors.
        objects: LeafClass results; empty for ObjectRef.
        refs: ObjectRef results, entryUUIDs; empty for LeafClass.
        home: homeCommunityId to put on each ObjectRef.
    """

    errors: tuple[XDSError, ...] = ()
    objects: tuple[ServedObject, ...] = ()
    refs: tuple[str, ...] = ()
    home: str | None = None
    received: Status | None = None

    @property
    def status(self) -> Status:
        """Success with or without warnings, or Failure."""
        return self.received or response_status(self.errors)


@dataclass(frozen=True, slots=True)
class DocumentRequest:
    """xds:DocumentRequest of ITI-43 (ITI TF-2 3.43.4.1.2); values as sent."""

    repository_unique_id: str
    document_unique_id: str
    home: str | None = None


@dataclass(frozen=True, slots=True)
class RetrievedDocument:
    """xds:DocumentResponse of ITI-43 (ITI TF-2 3.43.4.2.2).

    Attributes:
        request: what was asked for; its three values are given back.
        mime_type: as in the DocumentEntry at submission.
        size: octets, None if unknown beforehand.
        content: the octets, read once.
    """

    request: DocumentRequest
    mime_type: str
    content: Readable
    size: int | None = None


@dataclass(frozen=True, slots=True)
class RetrieveDocumentSetResponse:
    """xds:RetrieveDocumentSetResponse: what could be had in request order, and an error for each of the rest."""

    documents: tuple[RetrievedDocument, ...] = ()
    errors: tuple[XDSError, ...] = ()
    received: Status | None = None

    @property
    def status(self) -> Status:
        """Success, PartialSuccess or Failure (ITI TF-2 3.43.4.2.2)."""
        return self.received or response_status(self.errors, delivered=len(self.documents))
