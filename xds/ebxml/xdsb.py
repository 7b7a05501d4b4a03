"""IHE's messages around ebRS: Provide and Register, Retrieve (`urn:ihe:iti:xds-b:2007`; ITI TF-2 3.41, 3.43).

Documents are never in these elements: an xds:Document holds an xop:Include, and the octets are a part of the message
(`soap.mtom` turns inline base64 into that form before anything is parsed).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from xds.ebxml.rim import EXTRINSIC_OBJECT, REGISTRY_OBJECT_LIST, SLOT, SPACE, VALUE, normal_id
from xds.ebxml.rs import REGISTRY_RESPONSE, SUBMIT_OBJECTS_REQUEST, decode_errors, decode_response, encode_errors
from xds.ebxml.xml import Element, quoted, text
from xds.errors import Code, SoapFault, Status, XDSError
from xds.messages import DocumentRequest, SubmitObjectsRequest
from xds.metadata.attributes import find as attribute
from xds.metadata.model import DocumentEntry
from xds.metadata.vocabulary import RIM, RS, XDSB, XOP

PROVIDE_REQUEST, DOCUMENT = f"{{{XDSB}}}ProvideAndRegisterDocumentSetRequest", f"{{{XDSB}}}Document"
DOCUMENT_REQUEST, DOCUMENT_RESPONSE = f"{{{XDSB}}}DocumentRequest", f"{{{XDSB}}}DocumentResponse"
INCLUDE = f"{{{XOP}}}Include"
_UNIQUE_ID_SCHEME = attribute(DocumentEntry, "uniqueId").key


# ITI-41


@dataclass(frozen=True, slots=True)
class Provided:
    """An ITI-41 body: the submission, and each xds:Document's id with the Content-ID of its part (None without)."""

    submission: SubmitObjectsRequest
    documents: tuple[tuple[str, str | None], ...]


def decode_provide(element: Element) -> Provided:
    """Read xds:ProvideAndRegisterDocumentSetRequest.

    Raises:
        XDSError: XDSRepositoryMetadataError, if there is no lcm:SubmitObjectsRequest in it.
    """
    submit = element.find(SUBMIT_OBJECTS_REQUEST)
    if submit is None:
        problem = "the ProvideAndRegisterDocumentSetRequest holds no lcm:SubmitObjectsRequest"
        raise XDSError(Code.XDSRepositoryMetadataError, problem)
    documents = tuple(
        (normal_id(document.get("id") or ""), content_id(document)) for document in element.iterchildren(DOCUMENT)
    )
    return Provided(SubmitObjectsRequest(submit), documents)


def content_id(element: Element) -> str | None:
    """The Content-ID an element's xop:Include refers to, percent-decoded (XOP 1.0, 2.1; RFC 2392)."""
    include = element.find(INCLUDE)
    href = "" if include is None else (include.get("href") or "").strip(SPACE)
    return unquote(href[4:]) if href[:4].lower() == "cid:" else None


def encode_provide(submit: bytes, documents: Sequence[tuple[str, str]]) -> bytes:
    """Write xds:ProvideAndRegisterDocumentSetRequest.

    Args:
        submit: lcm:SubmitObjectsRequest as octets.
        documents: id of the ExtrinsicObject and Content-ID of the part, for each document.
    """
    parts = "".join(f"<xds:Document id={quoted(id_)}>{_include(cid)}</xds:Document>" for id_, cid in documents)
    opening = f'<xds:ProvideAndRegisterDocumentSetRequest xmlns:xds="{XDSB}">'
    return opening.encode() + submit + f"{parts}</xds:ProvideAndRegisterDocumentSetRequest>".encode()


def _include(cid: str) -> str:
    return f'<xop:Include xmlns:xop="{XOP}" href="cid:{cid}"/>'


# What a Repository needs to know of the DocumentEntries it passes on, and what it fills in (ITI TF-2 3.41.4.1.3)


@dataclass(frozen=True, slots=True)
class ProvidedEntry:
    """The ExtrinsicObject of a document, as far as a Repository looks at it; values as sent, stripped."""

    element: Element
    id: str
    unique_id: str | None
    mime_type: str | None
    hash: str | None
    size: str | None


def provided_entries(request: SubmitObjectsRequest) -> Iterator[ProvidedEntry]:
    """The DocumentEntries of a submission, in message order."""
    for element in request.element.iterfind(f"{REGISTRY_OBJECT_LIST}/{EXTRINSIC_OBJECT}"):
        yield ProvidedEntry(
            element,
            normal_id(element.get("id") or ""),
            _unique_id(element),
            (element.get("mimeType") or "").strip(SPACE) or None,
            _slot_value(element, "hash"),
            _slot_value(element, "size"),
        )


def _unique_id(element: Element) -> str | None:
    for identifier in element.iterchildren(f"{{{RIM}}}ExternalIdentifier"):
        if (identifier.get("identificationScheme") or "").strip(SPACE).lower() == _UNIQUE_ID_SCHEME:
            return (identifier.get("value") or "").strip(SPACE) or None
    return None


def _slot_value(element: Element, name: str) -> str | None:
    for slot in element.iterchildren(SLOT):
        if (slot.get("name") or "").strip(SPACE) == name:
            return ((slot.findtext(f".//{VALUE}")) or "").strip(SPACE) or None
    return None


def set_slot(element: Element, name: str, value: str) -> None:
    """Give an ExtrinsicObject's slot one value in place of what it had; slots go first, as `rim.xsd` wants."""
    for old in [slot for slot in element.iterchildren(SLOT) if (slot.get("name") or "").strip(SPACE) == name]:
        element.remove(old)
    slot = element.makeelement(SLOT, {"name": name})
    values = slot.makeelement(f"{{{RIM}}}ValueList")
    item = values.makeelement(VALUE)
    item.text = value
    values.append(item)
    slot.append(values)
    element.insert(0, slot)


# ITI-43


def decode_retrieve(element: Element) -> tuple[DocumentRequest, ...]:
    """Read xds:RetrieveDocumentSetRequest."""
    return tuple(
        DocumentRequest(
            _child(request, "RepositoryUniqueId") or "",
            _child(request, "DocumentUniqueId") or "",
            _child(request, "HomeCommunityId"),
        )
        for request in element.iterchildren(DOCUMENT_REQUEST)
    )


def _child(element: Element, name: str) -> str | None:
    found = element.findtext(f"{{{XDSB}}}{name}")
    return None if found is None else found.strip(SPACE)


def encode_retrieve(requests: Sequence[DocumentRequest]) -> bytes:
    """Write xds:RetrieveDocumentSetRequest."""
    items = "".join(f"<xds:DocumentRequest>{_identifiers(request)}</xds:DocumentRequest>" for request in requests)
    return f'<xds:RetrieveDocumentSetRequest xmlns:xds="{XDSB}">{items}</xds:RetrieveDocumentSetRequest>'.encode()


def _identifiers(request: DocumentRequest) -> str:
    home = f"<xds:HomeCommunityId>{text(request.home)}</xds:HomeCommunityId>" if request.home is not None else ""
    return (
        f"{home}<xds:RepositoryUniqueId>{text(request.repository_unique_id)}</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>{text(request.document_unique_id)}</xds:DocumentUniqueId>"
    )


def encode_retrieve_response(
    status: Status, errors: Sequence[XDSError], documents: Sequence[tuple[DocumentRequest, str, str]]
) -> bytes:
    """Write xds:RetrieveDocumentSetResponse.

    Args:
        status: of the RegistryResponse in it.
        errors: of the RegistryResponse in it.
        documents: request, mimeType and Content-ID of the part, for each document.
    """
    items = "".join(
        f"<xds:DocumentResponse>{_identifiers(request)}<xds:mimeType>{text(mime_type)}</xds:mimeType>"
        f"<xds:Document>{_include(cid)}</xds:Document></xds:DocumentResponse>"
        for request, mime_type, cid in documents
    )
    return (
        f'<xds:RetrieveDocumentSetResponse xmlns:xds="{XDSB}" xmlns:rs="{RS}">'
        f'<rs:RegistryResponse status="{status}">{encode_errors(errors)}</rs:RegistryResponse>'
        f"{items}</xds:RetrieveDocumentSetResponse>"
    ).encode()


@dataclass(frozen=True, slots=True)
class RetrievedBody:
    """An ITI-43 answer: status, errors, and request, mimeType and Content-ID of each document."""

    status: Status
    errors: tuple[XDSError, ...]
    documents: tuple[tuple[DocumentRequest, str, str | None], ...]


def decode_retrieve_response(element: Element) -> RetrievedBody:
    """Read xds:RetrieveDocumentSetResponse from another actor.

    Raises:
        SoapFault: Receiver, if there is no RegistryResponse in it.
    """
    response = element.find(REGISTRY_RESPONSE)
    if response is None:
        raise SoapFault("Receiver", "the RetrieveDocumentSetResponse holds no rs:RegistryResponse")
    documents = []
    for item in element.iterchildren(DOCUMENT_RESPONSE):
        request = DocumentRequest(
            _child(item, "RepositoryUniqueId") or "",
            _child(item, "DocumentUniqueId") or "",
            _child(item, "HomeCommunityId"),
        )
        document = item.find(DOCUMENT)
        documents.append((request, _child(item, "mimeType") or "", None if document is None else content_id(document)))
    return RetrievedBody(decode_response(response).status, tuple(decode_errors(response)), tuple(documents))
