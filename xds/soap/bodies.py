"""What an actor is handed for each transaction's body, and how its answer becomes one: a row each.

`xds.transactions` says which messages a transaction has; these rows say how a server reads and writes them. The
client's half is `xds.client`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from xds.ebxml import rs, xdsb
from xds.ebxml.xml import Element
from xds.errors import Code, XDSError
from xds.messages import (
    AdhocQueryResponse,
    ProvideAndRegister,
    Readable,
    RegistryResponse,
    RetrieveDocumentSetResponse,
    SubmitObjectsRequest,
    SubmittedDocument,
)
from xds.soap.mime import Part, shown
from xds.soap.mtom import Attachment, Message, new_content_id
from xds.transactions import ITI_18, ITI_41, ITI_42, ITI_43, ITI_51

Encoded = tuple[Sequence[bytes], Sequence[Attachment]]


@dataclass(frozen=True)
class Codec:
    """How one transaction's messages are read and written.

    Attributes:
        decode: body element and message -> the first argument of the actor's method.
        encode: the actor's answer -> body octets in pieces, and the documents that go with it.
        refuse: errors -> an answer that carries them and nothing else.
        internal: error code for what the actor did not foresee.
    """

    decode: Callable[[Element, Message], Any]
    encode: Callable[[Any], Encoded]
    refuse: Callable[[tuple[XDSError, ...]], Any]
    internal: Code


# --- ITI-41 -----------------------------------------------------------------------------------------------------


def _decode_provide(body: Element, message: Message) -> ProvideAndRegister:
    provided = xdsb.decode_provide(body)
    broken: dict[str, str] = {}
    return ProvideAndRegister(
        provided.submission,
        tuple(id_ for id_, _ in provided.documents),
        _pair(provided.documents, message, broken),
        broken,
    )


def _pair(
    documents: Sequence[tuple[str, str | None]], message: Message, broken: dict[str, str]
) -> Iterator[SubmittedDocument]:
    """Give each part the id of the xds:Document that refers to it, in the order in which the parts arrive.

    A Content-ID may be percent-encoded like the URL that names it, as toolkits do that write one text into both. Parts
    nobody refers to are passed over. Whoever is left without a part is in `broken` in the end.
    """
    wanted: dict[str | None, str] = {}
    for id_, cid in documents:
        if cid is None:
            broken[id_] = "its xop:Include does not refer to a part of the message by a cid: URL"
        elif cid in wanted:
            broken[id_] = f"the part {shown(cid)} is already that of the Document {wanted[cid]!r}"
        else:
            wanted[cid] = id_
    for part in message.parts:
        found = wanted.pop(part.content_id, None) or wanted.pop(unquote(part.content_id or ""), None)
        if found is not None:
            yield SubmittedDocument(found, _Octets(found, part, broken))
    for cid, id_ in wanted.items():
        broken[id_] = message.broken.get(cid or "") or f"the message has no part with the Content-ID {shown(cid or '')}"


class _Octets:
    """A document's octets; what cannot be decoded is told about the document, not about the part."""

    def __init__(self, id_: str, part: Part, broken: dict[str, str]) -> None:
        self._id = id_
        self._stream = part.stream
        self._broken = broken

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._stream.read(size)
        except XDSError as error:
            self._broken[self._id] = error.context
            raise replace(error, location=self._id) from error


# --- ITI-43 -----------------------------------------------------------------------------------------------------


def _encode_retrieved(answer: RetrieveDocumentSetResponse) -> Encoded:
    parts = [
        Attachment(new_content_id(), document.mime_type, document.size, document.content)
        for document in answer.documents
    ]
    named = [
        (document.request, document.mime_type, part.content_id)
        for document, part in zip(answer.documents, parts, strict=True)
    ]
    return (xdsb.encode_retrieve_response(answer.status, answer.errors, named),), parts


def contents(answer: object) -> Iterator[Readable]:
    """The streams of an answer, to be closed whatever becomes of it."""
    if isinstance(answer, RetrieveDocumentSetResponse):
        for document in answer.documents:
            yield document.content


def _encode_response(answer: RegistryResponse) -> Encoded:
    return (rs.encode_response(answer),), ()


_QUERY = Codec(
    decode=lambda body, _: rs.decode_query(body),
    encode=lambda answer: (rs.encode_query_response(answer), ()),
    refuse=AdhocQueryResponse,
    internal=Code.XDSRegistryError,
)

CODECS = {
    ITI_18.number: _QUERY,
    ITI_51.number: _QUERY,
    ITI_41.number: Codec(_decode_provide, _encode_response, RegistryResponse, Code.XDSRepositoryError),
    ITI_42.number: Codec(
        decode=lambda body, _: SubmitObjectsRequest(body),
        encode=_encode_response,
        refuse=RegistryResponse,
        internal=Code.XDSRegistryError,
    ),
    ITI_43.number: Codec(
        decode=lambda body, _: xdsb.decode_retrieve(body),
        encode=_encode_retrieved,
        refuse=lambda errors: RetrieveDocumentSetResponse(errors=errors),
        internal=Code.XDSRepositoryError,
    ),
}
"""Transaction number -> its codec; every row of `xds.transactions.TRANSACTIONS` has one."""
