"""MTOM messages as streams, both ways (W3C SOAP MTOM; ITI TF-2 V.3.6): used by server and client alike.

`read_message` gives the envelope at once and the documents one after the other, each read from the socket as it is
consumed; it makes no difference to the reader whether they came as MIME parts or as base64 within the envelope.
`MultipartWriter` and `InlineWriter` produce bodies in pieces, for a WSGI server or as `data=` of requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import NamedTuple, Self

from xds.soap.mime import (
    ContentType,
    Limits,
    Part,
    Readable,
    Stream,
    decoded,
    limit_fault,
    parse_content_type,
    sender_fault,
    shown,
)
from xds.soap.multipart import MultipartReader
from xds.soap.xop import Extracted, Spool, base64_text, cid_of, cid_url, extract, include, octets, split_at_includes

__all__ = [
    "Attachment",
    "ContentType",
    "InlineWriter",
    "Limits",
    "Message",
    "MultipartWriter",
    "Part",
    "Readable",
    "cid_of",
    "cid_url",
    "coalesced",
    "include",
    "inline",
    "new_content_id",
    "parse_content_type",
    "read_message",
]

XOP_XML = "application/xop+xml"
SOAP_XML = "application/soap+xml"
_SOAP_1_1 = "text/xml"  # let through: the envelope's VersionMismatch fault says more than one about MIME would
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_COALESCE = 64 * 1024
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;[\x20-\x7e]*)?", re.ASCII)
_CONTENT_ID = re.compile(r"[\x21-\x3b\x3d\x3f-\x7e]+")  # printable ASCII without angle brackets and space


def new_content_id() -> str:
    """Make a Content-ID nobody else has used (RFC 2045 section 7), without angle brackets."""
    return f"{token_hex(16)}@xds"


# --- reading ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Message:
    """A message whose documents are still on their way.

    Attributes:
        content_type: of the whole message.
        root: the envelope's XML; all its documents are `xop:Include` elements.
        parts: what can be referred to, each to be read before the next is asked for: parts that stood before the
            root, documents that stood inline, then what is still to arrive. Parts without Content-ID are passed over.
        is_mtom: it came as multipart/related, so the answer goes out likewise.
        action: the action parameter, of the message or of its root part.
        broken: Content-ID of an Include without part -> why the inline base64 it stands for could not be decoded.
    """

    content_type: ContentType
    root: bytes
    parts: Iterator[Part]
    is_mtom: bool
    action: str | None = None
    broken: dict[str, str] = field(default_factory=dict)
    _spool: Spool | None = None

    def drain(self) -> None:
        """Read what is left of the message and so learn whether it was whole."""
        for _ in self.parts:
            pass

    def close(self) -> None:
        """Give up what was put aside; parts can no longer be read."""
        if self._spool:
            self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_message(stream: Readable, content_type: str | None, limits: Limits | None = None) -> Message:
    """Read the envelope of a SOAP message, multipart/related or plain; the documents follow in `Message.parts`.

    Args:
        stream: the body of the request or response; its `read` returns b"" at the end of the body.
        content_type: value of the Content-Type field.
        limits: see `Limits`; None for its defaults.

    Raises:
        SoapFault: it is no such message, is malformed or exceeds a limit. Reading the parts can raise it as well.
    """
    found = parse_content_type(content_type)
    limits = limits or Limits()
    if found.media_type == "multipart/related":
        return _read_multipart(stream, found, limits)
    if found.media_type not in {SOAP_XML, _SOAP_1_1}:
        raise sender_fault(f"Content-Type is {shown(found.media_type)}, expected multipart/related or {SOAP_XML}")
    _check_charset(found)
    spool = Spool(limits.memory)
    extracted = extract(_bounded(stream, limits), spool, limits)
    parts = _parts([], extracted, iter(()), spool)
    return Message(found, extracted.root, parts, False, found.get("action"), extracted.broken, spool)


def _bounded(stream: Readable, limits: Limits) -> Stream:
    total = 0

    def read1(size: int) -> bytes:
        nonlocal total
        data = stream.read(size)
        total += len(data)
        if total > limits.message:
            raise limit_fault("message", limits.message, "message")
        return data

    return Stream(read1)


def _read_multipart(stream: Readable, found: ContentType, limits: Limits) -> Message:
    _check_multipart(found)
    spool = Spool(limits.memory)
    arriving = MultipartReader(stream, found.boundary, limits).parts()
    early, root = _find_root(arriving, found.start, spool)
    root_type = parse_content_type(root.headers.get("content-type", XOP_XML))
    if root_type.media_type != XOP_XML:
        raise sender_fault(f"Content-Type of the root part is {shown(root_type.media_type)}, expected {XOP_XML}")
    _check_charset(root_type)
    extracted = extract(decoded(root, is_root=True).stream, spool, limits)
    parts = _parts(early, extracted, arriving, spool)
    return Message(found, extracted.root, parts, True, _action(found, root_type), extracted.broken, spool)


def _check_multipart(found: ContentType) -> None:
    """Check type and start-info (XOP section 4.1); both may be absent."""
    kind = found.get("type")
    if kind is not None and _media_type(kind) != XOP_XML:
        raise sender_fault(f"Content-Type parameter type is {shown(kind)}, expected {XOP_XML}")
    info = found.get("start-info")
    if info is not None and _media_type(info) not in {SOAP_XML, _SOAP_1_1}:
        raise sender_fault(f"Content-Type parameter start-info is {shown(info)}, expected {SOAP_XML}")


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _check_charset(found: ContentType) -> None:
    charset = found.get("charset")
    if charset is not None and charset.lower() not in _CHARSETS:
        raise sender_fault(f"Content-Type parameter charset is {shown(charset)}, expected UTF-8")


def _action(found: ContentType, root: ContentType) -> str | None:
    """Find the action: on the message, within start-info, on the root part, within the root part's type."""
    nested = (parse_content_type(info).get("action") for info in (found.get("start-info"), root.get("type")) if info)
    return next(filter(None, (found.get("action"), root.get("action"), *nested)), None)


def _find_root(arriving: Iterator[Part], start: str | None, spool: Spool) -> tuple[list[tuple[Part, int, int]], Part]:
    """Go to the root part, putting what comes before it aside.

    Returns:
        The parts before it with their extents in the spool, and the root, whose content is still to be read.
    """
    early: list[tuple[Part, int, int]] = []
    for part in arriving:
        if start is None or part.content_id == start:
            return early, part
        first = spool.size
        for data in octets(part.stream) if part.content_id else ():
            spool.write(data)
        early.append((part, first, spool.size))
    if start is None:
        raise sender_fault("the multipart message has no part, expected at least the root part")
    seen = ", ".join(shown(part.content_id or "") for part, _, _ in early[:10])
    expected = f"Content-ID {shown(start)}, as Content-Type's start parameter says"
    raise sender_fault(f"the multipart message has parts {seen or '(none)'}, expected one with {expected}")


def _parts(
    early: Sequence[tuple[Part, int, int]], extracted: Extracted, arriving: Iterator[Part], spool: Spool
) -> Iterator[Part]:
    for part, first, end in early:
        if part.content_id:
            yield decoded(Part(part.content_id, part.headers, spool.stream(first, end)))
    for content_id, (first, end) in extracted.documents.items():
        yield Part(content_id, {}, spool.stream(first, end))
    for part in arriving:
        if part.content_id:
            yield decoded(part)
    spool.close()


# --- writing ---------------------------------------------------------------------------------------------------


class Attachment(NamedTuple):
    """A document to be sent.

    Attributes:
        content_id: without angle brackets; the envelope refers to it by `cid_url`.
        media_type: such as text/xml; what is no media type goes out as application/octet-stream.
        length: octets, None if not known beforehand.
        body: the octets, an open stream, or pieces; read once.
    """

    content_id: str
    media_type: str
    length: int | None
    body: bytes | Readable | Iterable[bytes]


class _Writer:
    """A body in pieces that may be iterated once; `len` is exact, and a TypeError when a length is not known."""

    content_type: str

    def __init__(self, root: bytes, parts: Iterable[Attachment]) -> None:
        self._root = root
        self._attachments = [Attachment(*part) for part in parts]

    def content_length(self) -> int | None:
        """Return the size of the whole body in octets, None if a part's length is not known."""
        raise NotImplementedError

    def _pieces(self) -> Iterator[bytes]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes]:
        return coalesced(self._pieces())

    def __len__(self) -> int:
        length = self.content_length()
        if length is None:  # requests takes this for "send it chunked"
            raise TypeError("the length of a part is not known beforehand")
        return length

    def __bool__(self) -> bool:
        return True

    def close(self) -> None:
        """Close the parts' streams, as WSGI servers ask of what they iterate over."""
        for attachment in self._attachments:
            close = getattr(attachment.body, "close", None)
            if close:
                close()


class MultipartWriter(_Writer):
    """An MTOM message: the envelope as root part and the documents after it, octets as they are.

    Args:
        root: the envelope; documents stand in it as `include(content_id)`.
        parts: the documents, in the order in which they are to be read.
        action: for the Content-Type's action parameter.

    Attributes:
        content_type: value for the Content-Type field.
    """

    def __init__(self, root: bytes, parts: Iterable[Attachment] = (), *, action: str | None = None) -> None:
        super().__init__(root, parts)
        self._boundary = f"MIMEBoundary_{token_hex(24)}"
        root_id = new_content_id()
        self.content_type = (
            f'multipart/related; boundary="{self._boundary}"; type="{XOP_XML}"; start="<{root_id}>"; '
            f'start-info="{SOAP_XML}"{_action_parameter(action)}'
        )
        self._heads = [self._head("", root_id, f'{XOP_XML}; charset=UTF-8; type="{SOAP_XML}"')]
        self._heads += [self._head("\r\n", part.content_id, _safe(part.media_type)) for part in self._attachments]
        self._tail = f"\r\n--{self._boundary}--\r\n".encode("ascii")

    def _head(self, line_end: str, content_id: str, media_type: str) -> bytes:
        if not _CONTENT_ID.fullmatch(content_id):
            raise ValueError(f"Content-ID is {shown(content_id)}, expected printable ASCII without < and >")
        fields = ("Content-Type: " + media_type, "Content-Transfer-Encoding: binary", f"Content-ID: <{content_id}>")
        return "\r\n".join((f"{line_end}--{self._boundary}", *fields, "\r\n")).encode("ascii")

    def content_length(self) -> int | None:  # noqa: D102 - said above
        lengths = [_length(part) for part in self._attachments]
        fixed = len(self._root) + sum(map(len, self._heads)) + len(self._tail)
        return None if None in lengths else fixed + sum(filter(None, lengths))

    def _pieces(self) -> Iterator[bytes]:
        yield self._heads[0]
        yield self._root
        for head, part in zip(self._heads[1:], self._attachments, strict=True):
            yield head
            yield from _content(part)
        yield self._tail


class InlineWriter(_Writer):
    """A plain SOAP message: each Include of the envelope is replaced by the base64 of its document.

    Args:
        root: the envelope with `include(content_id)` where documents belong.
        parts: the documents, each referred to once.
        action: for the Content-Type's action parameter.

    Attributes:
        content_type: value for the Content-Type field.

    Raises:
        ValueError: an Include refers to none of the parts, or two refer to the same.
    """

    def __init__(self, root: bytes, parts: Iterable[Attachment] = (), *, action: str | None = None) -> None:
        super().__init__(root, parts)
        self.content_type = f"{SOAP_XML}; charset=UTF-8{_action_parameter(action)}"
        by_id = {part.content_id: part for part in self._attachments}
        *cut, (self._rest, _) = split_at_includes(root)
        ids = [content_id for _, content_id in cut]
        wrong = [content_id for content_id in ids if content_id not in by_id or ids.count(content_id) > 1]
        if wrong:
            raise ValueError(f"xop:Include refers to {shown(wrong[0])}, expected each part to be referred to once")
        self._cut = [(xml, by_id[content_id]) for xml, content_id in cut]

    def content_length(self) -> int | None:  # noqa: D102 - said above
        lengths = [_length(part) for _, part in self._cut]
        fixed = len(self._rest) + sum(len(xml) for xml, _ in self._cut)
        return None if None in lengths else fixed + sum((length + 2) // 3 * 4 for length in lengths if length)

    def _pieces(self) -> Iterator[bytes]:
        for xml, part in self._cut:
            yield xml
            yield from base64_text(_content(part))
        yield self._rest


def inline(root: bytes, parts: Iterable[Attachment]) -> Iterator[bytes]:
    """Yield an envelope with each Include replaced by its part's base64, in constant memory; see `InlineWriter`."""
    return iter(InlineWriter(root, parts))


def _action_parameter(action: str | None) -> str:
    if action is None:
        return ""
    if not re.fullmatch(r"[\x20-\x7e]*", action):
        raise ValueError(f"action is {shown(action)}, expected printable ASCII")
    escaped = action.replace("\\", "\\\\").replace('"', '\\"')
    return f'; action="{escaped}"'


def _safe(media_type: str) -> str:
    """Pass a media type; a document's mimeType was written by its sender and must not write header fields of ours."""
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"


def _length(part: Attachment) -> int | None:
    return len(part.body) if isinstance(part.body, bytes) else part.length


def _content(part: Attachment) -> Iterator[bytes]:
    """Yield a part's octets and hold them against its length: what is not as announced must not look whole."""
    announced, sent = _length(part), 0
    for data in octets(part.body):
        sent += len(data)
        if announced is not None and sent > announced:
            break
        yield data
    if announced is not None and sent != announced:
        more = "more than " if sent > announced else ""
        raise ValueError(f"part {shown(part.content_id)} has {more}{min(sent, announced)} octets, expected {announced}")


def coalesced(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces: each that is yielded becomes a TLS record or an HTTP chunk of its own."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _COALESCE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
