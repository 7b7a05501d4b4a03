"""The two actors spoken to over SOAP: `DocumentRegistry` and `DocumentRepository` for whoever has a URL.

The client's half of the codec; the server's is `soap.bodies`. A client holds nothing but its transport and URL, so that
one serves any number of threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from xds.ebxml import rs, xdsb
from xds.ebxml.xml import serialize
from xds.errors import Code, SoapFault, XDSError
from xds.messages import (
    AdhocQuery,
    AdhocQueryResponse,
    Caller,
    DocumentRequest,
    ProvideAndRegister,
    Readable,
    RegistryResponse,
    RetrievedDocument,
    RetrieveDocumentSetResponse,
    SubmitObjectsRequest,
)
from xds.soap.mime import CHUNK, Part, shown
from xds.soap.mtom import Attachment, new_content_id
from xds.soap.transport import Answer, SoapTransport
from xds.soap.xop import Spool
from xds.transactions import ITI_18, ITI_41, ITI_42, ITI_43, ITI_51, Transaction

_MEMORY = 1 << 20  # octets of a document put aside that stay in memory
_IN_MEMORY_ITERATORS: tuple[type, ...] = (type(iter(())), type(iter([])))


@dataclass(frozen=True)
class RegistryClient:
    """A Document Registry at a URL.

    Who calls is told by the transport's certificate; the `caller` of each method is not passed on.
    """

    transport: SoapTransport
    url: str

    def register(self, request: SubmitObjectsRequest, caller: Caller) -> RegistryResponse:  # noqa: ARG002
        """Register Document Set-b, ITI-42 (ITI TF-2 3.42)."""
        with self.transport.call(ITI_42, self.url, serialize(request.element)) as answer:
            return rs.decode_response(answer.body)

    def query(self, query: AdhocQuery, caller: Caller) -> AdhocQueryResponse:  # noqa: ARG002
        """Registry Stored Query, ITI-18 (ITI TF-2 3.18)."""
        return self._ask(ITI_18, query)

    def query_multiple_patients(self, query: AdhocQuery, caller: Caller) -> AdhocQueryResponse:  # noqa: ARG002
        """Multi-Patient Stored Query, ITI-51 (ITI TF-2 3.51)."""
        return self._ask(ITI_51, query)

    def _ask(self, transaction: Transaction, query: AdhocQuery) -> AdhocQueryResponse:
        with self.transport.call(transaction, self.url, rs.encode_query(query)) as answer:
            return rs.decode_query_response(answer.body)


@dataclass(frozen=True)
class RepositoryClient:
    """A Document Repository at a URL; see `RegistryClient` for the caller."""

    transport: SoapTransport
    url: str

    def provide_and_register(self, request: ProvideAndRegister, caller: Caller) -> RegistryResponse:  # noqa: ARG002
        """Provide and Register Document Set-b, ITI-41 (ITI TF-2 3.41).

        The documents are sent in the order of `document_ids`; one that comes before its turn is put aside on disk.
        """
        named = [(id_, new_content_id()) for id_ in request.document_ids]
        body = xdsb.encode_provide(serialize(request.submission.element), named)
        documents = _Outbox(request)
        parts = [documents.attachment(id_, cid) for id_, cid in named]
        try:
            with self.transport.call(ITI_41, self.url, body, parts) as answer:
                return rs.decode_response(answer.body)
        except XDSError as error:
            return RegistryResponse((error,))

    def retrieve(
        self,
        requests: Sequence[DocumentRequest],
        caller: Caller,  # noqa: ARG002
    ) -> RetrieveDocumentSetResponse:
        """Retrieve Document Set, ITI-43 (ITI TF-2 3.43); documents are read from the connection as they are consumed.

        Read in the order of the answer they need no room; in another order, those passed over are put aside on disk.
        All must be read or closed before the connection is free again. Reading one can raise what
        `SoapTransport.call` raises.
        """
        answer = self.transport.call(ITI_43, self.url, xdsb.encode_retrieve(requests))
        try:
            body = xdsb.decode_retrieve_response(answer.body)
            delivery = _Delivery(answer, [cid for _, _, cid in body.documents])
            documents = tuple(
                RetrievedDocument(request, mime_type, delivery.document(cid or ""))
                for request, mime_type, cid in body.documents
            )
            if not documents:
                answer.finish()
        except BaseException:
            answer.close()
            raise
        return RetrieveDocumentSetResponse(documents, body.errors, body.status)


# --- ITI-41: documents on their way out -------------------------------------------------------------------------


class _Outbox:
    """Finds each document when its turn comes.

    An iterator over a list or tuple is read at once, for its documents exist already and their lengths may be known,
    which gives the request a Content-Length; any other is asked for a document only when that is to be sent.
    """

    def __init__(self, request: ProvideAndRegister) -> None:
        self._broken = request.broken
        self._types = {entry.id: entry.mime_type for entry in xdsb.provided_entries(request.submission)}
        self._documents = request.documents
        self._ready: dict[str, deque[Readable]] = {}
        if isinstance(request.documents, _IN_MEMORY_ITERATORS):
            for document in request.documents:
                self._keep(document.id, document.content)

    def attachment(self, id_: str, cid: str) -> Attachment:
        waiting = self._ready.get(id_)
        length = _octets_left(waiting[0]) if waiting is not None and len(waiting) == 1 else None
        return Attachment(cid, self._types.get(id_) or "application/octet-stream", length, self._octets(id_))

    def _octets(self, id_: str) -> Iterator[bytes]:
        content = self._find(id_)
        while data := content.read(CHUNK):
            yield data

    def _find(self, id_: str) -> Readable:
        if self._ready.get(id_):
            return self._ready[id_].popleft()
        for document in self._documents:
            if document.id == id_:
                return document.content
            self._keep(document.id, _put_aside(document.content))
        reason = self._broken.get(id_, "there are no octets for it")
        raise XDSError(Code.XDSMissingDocument, f"the Document {id_!r} cannot be sent: {reason}", id_)

    def _keep(self, id_: str, content: Readable) -> None:
        self._ready.setdefault(id_, deque()).append(content)


def _put_aside(content: Readable) -> Readable:
    spool = Spool(_MEMORY)
    while data := content.read(CHUNK):
        spool.write(data)
    return spool.stream(0, spool.size)


def _octets_left(content: object) -> int | None:
    """Octets from here to the end of an open file or buffer, None where that cannot be known."""
    try:
        here = content.tell()  # type: ignore[attr-defined]
        buffer = getattr(content, "getbuffer", None)
        size = len(buffer()) if buffer else os.fstat(content.fileno()).st_size  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return None
    return int(size) - int(here)


# --- ITI-43: documents on their way in --------------------------------------------------------------------------


@dataclass
class _Delivery:
    """The documents of one answer, handed out in whatever order they are read."""

    answer: Answer
    cids: Sequence[str | None]
    _open: Part | None = None
    _aside: dict[str, Readable] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)
    _whole: bool = True

    def __post_init__(self) -> None:
        for cid in self.cids:
            if cid is None or cid in self._waiting:
                found = "no part" if cid is None else f"the part {shown(cid)} twice"
                raise SoapFault("Receiver", f"the answer of {self.answer.url} refers to {found} for a document")
            self._waiting.add(cid)

    def document(self, cid: str) -> Readable:
        return _Delivered(self, cid)

    def read(self, cid: str, size: int) -> bytes:
        try:
            data = self._reach(cid).read(size)
        except SoapFault as fault:
            self.answer.close()
            raise SoapFault("Receiver", f"the answer of {self.answer.url} is broken: {fault.reason}") from fault
        except BaseException:
            self.answer.close()
            raise
        if not data:
            self._settle(cid)
        return data

    def give_up(self, cid: str) -> None:
        if cid in self._waiting:
            self._whole = False
            self._settle(cid)

    def _reach(self, cid: str) -> Readable:
        """The stream a document is read from now, what stands before it put aside."""
        if cid in self._aside:
            return self._aside[cid]
        while self._open is None or self._open.content_id != cid:
            self._put_open_aside()
            self._open = next(self.answer.parts, None)
            if self._open is None:
                reason = self.answer.broken.get(cid, "the message has no such part")
                raise SoapFault("Receiver", f"part {shown(cid)}: {reason}")
        return self._open.stream

    def _put_open_aside(self) -> None:
        if self._open is not None and self._open.content_id in self._waiting:
            self._aside[self._open.content_id] = _put_aside(self._open.stream)

    def _settle(self, cid: str) -> None:
        """A document has been read or given up; after the last one the connection is free."""
        self._waiting.discard(cid)
        self._aside.pop(cid, None)
        if not self._waiting and self._whole:
            self.answer.finish()
        elif not self._waiting:
            self.answer.close()


@dataclass
class _Delivered:
    """One document of an answer."""

    delivery: _Delivery
    cid: str
    _ended: bool = False

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` octets, b"" at the end; all that is left if negative."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        if self._ended or not size:
            return b""
        data = self.delivery.read(self.cid, size)
        self._ended = not data
        return data

    def close(self) -> None:
        """Give up what was not read."""
        self._ended = True
        self.delivery.give_up(self.cid)
