"""Retrieve Document Set, ITI-43 (ITI TF-2 3.43.4.1.3, 3.43.4.2.2).

Octets go out only as they came in: a small document is read and its SHA-1 compared before the answer begins; a large
one is streamed, its last piece held back until the whole has been compared, and the connection is broken off if it
differs.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial

from sqlalchemy import Engine

from repository import claims
from repository.claims import Document
from repository.failures import attempt, store_error
from repository.lookup import Lookup
from repository.storage import ObjectReader, ObjectStore, SpareThreads, StoreError
from xds import database
from xds.errors import Code, Refused, XDSError
from xds.messages import Caller, DocumentRequest, Readable, RetrievedDocument, RetrieveDocumentSetResponse

log = logging.getLogger(__name__)

SMALL = 256 * 1024
"""Octets up to which a document is compared before it is sent."""

AT_ONCE = 8 << 20
"""Octets of small documents that one answer may hold in memory; further ones are streamed like large ones."""


class DocumentCorrupt(Exception):  # noqa: N818 - says what is the case
    """The store gave other octets than it was given; nothing may end as if it were the document."""


@dataclass
class Retrieval:
    """One ITI-43 request on its way."""

    engine: Engine
    store: ObjectStore
    spare: SpareThreads
    lookup: Lookup
    repository_unique_id: str
    caller: Caller
    errors: list[XDSError] = field(default_factory=list)
    held: int = 0
    ahead: dict[str, Future[bytes]] = field(default_factory=dict)

    def run(self, requests: Sequence[DocumentRequest]) -> RetrieveDocumentSetResponse:
        """Answer each request once, in the order asked."""
        if not requests:
            self.errors.append(XDSError(Code.XDSRepositoryError, "the request names no document (DocumentRequest)"))
        wanted = list(dict.fromkeys(requests))
        own = [request for request in wanted if self._is_own(request)]
        try:
            found = self._find([request.document_unique_id for request in own])
        except Refused as refused:
            errors = [replace(error, location=one.document_unique_id) for one in own for error in refused.errors]
            return RetrieveDocumentSetResponse(errors=(*self.errors, *errors))
        self._read_ahead([found[id_] for request in own if (id_ := request.document_unique_id) in found])
        documents = [self._document(request, found.get(request.document_unique_id)) for request in own]
        return RetrieveDocumentSetResponse(tuple(filter(None, documents)), tuple(self.errors))

    def _is_own(self, request: DocumentRequest) -> bool:
        own = request.repository_unique_id == self.repository_unique_id
        if not own:
            problem = f"the repositoryUniqueId {request.repository_unique_id!r} is not that of this repository"
            self.errors.append(XDSError(Code.XDSUnknownRepositoryId, problem, request.document_unique_id))
        return own

    def _find(self, unique_ids: list[str]) -> dict[str, Document]:
        if not unique_ids:
            return {}
        return attempt(
            lambda: database.read_at_once(self.engine, lambda conn: claims.find(conn, unique_ids)), self.caller
        )

    def _document(self, request: DocumentRequest, doc: Document | None) -> RetrievedDocument | None:
        unique_id = request.document_unique_id
        try:
            if doc is not None and self._available(doc):
                return RetrievedDocument(request, doc.mime_type, self._content(doc), doc.size)
            problem = f"no document with the uniqueId {unique_id!r} is available here"
            self.errors.append(XDSError(Code.XDSDocumentUniqueIdError, problem, unique_id))
        except StoreError as error:
            self.errors.append(store_error(error, f"the document {unique_id!r}", unique_id, self.caller))
        except DocumentCorrupt as error:
            log.critical("message %s: %s", self.caller.message_id, error)
            problem = f"the document {unique_id!r} is not as it was stored (message {self.caller.message_id})"
            self.errors.append(XDSError(Code.XDSRepositoryError, problem, unique_id))
        except Refused as refused:  # whether it is registered cannot be told now
            self.errors.extend(_unconfirmed(error, unique_id) for error in refused.errors)
        return None

    def _available(self, doc: Document) -> bool:
        """Registered; or pending, its registration confirmed by the registry now."""
        if doc.registered:
            return True
        if not self.lookup.is_registered(doc, self.caller):
            return False
        return doc.unique_id in attempt(lambda: claims.confirm(self.engine, [doc]), self.caller)

    def _content(self, doc: Document) -> Readable:
        if doc.key in self.ahead:
            return io.BytesIO(self.ahead[doc.key].result())
        if not self._fits(doc):
            if self.store.stat(doc.key).size != doc.size:
                raise DocumentCorrupt(f"object {doc.key} has another size than the document {doc.unique_id}")
            return CheckedStream(self.store, doc)
        self.held += doc.size
        return io.BytesIO(_compared(self.store, doc))

    def _fits(self, doc: Document) -> bool:
        return doc.size <= SMALL and self.held + doc.size <= AT_ONCE

    def _read_ahead(self, found: Sequence[Document]) -> None:
        """Let spare threads read small documents: a store's answer is mostly waiting, for one or for ten.

        The last one goes by this thread: a lone document costs no change of threads.
        """
        small = [doc for doc in found if doc.registered and doc.size <= SMALL]
        for doc in small[:-1]:
            if self._fits(doc):
                self.held += doc.size
                self.ahead[doc.key] = self.spare.submit(partial(_compared, self.store, doc))


def _unconfirmed(error: XDSError, unique_id: str) -> XDSError:
    code = Code.XDSRepositoryError if error.code == Code.XDSRegistryNotAvailable else error.code  # not one of ITI-43
    return replace(error, code=code, context=f"the document {unique_id!r}: {error.context}", location=unique_id)


def _compared(store: ObjectStore, doc: Document) -> bytes:
    """The octets of a small document."""
    with store.open(doc.key) as reader:
        octets = b"".join(_pieces(reader))
    if hashlib.sha1(octets, usedforsecurity=False).hexdigest() != doc.hash:
        raise DocumentCorrupt(f"object {doc.key} has other octets than the document {doc.unique_id}")
    return octets


def _pieces(reader: ObjectReader) -> Iterator[bytes]:
    while piece := reader.read(SMALL):
        yield piece


class CheckedStream:
    """A document on its way out of the store: opened when first read, compared before its last piece is let go."""

    def __init__(self, store: ObjectStore, doc: Document) -> None:
        self._store = store
        self._doc = doc
        self._reader: ObjectReader | None = None
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._held = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next piece, about `size` octets, b"" at the end.

        Raises:
            DocumentCorrupt: instead of the last piece.
            StoreError: the store failed on the way.
        """
        if self._reader is None:
            self._reader = self._store.open(self._doc.key)
            self._held = self._next(size)
        piece, self._held = self._held, self._next(size)
        if not self._held and self._sha1.hexdigest() != self._doc.hash:
            raise DocumentCorrupt(f"object {self._doc.key} has other octets than the document {self._doc.unique_id}")
        return piece

    def _next(self, size: int) -> bytes:
        piece = self._reader.read(size if size > 0 else SMALL) if self._reader is not None else b""
        self._sha1.update(piece)
        return piece

    def close(self) -> None:
        """Give the store's connection back."""
        if self._reader is not None:
            self._reader.close()
