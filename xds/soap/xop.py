"""XOP without trees (W3C XML-binary Optimized Packaging; ITI TF-2 V.3.6): documents leave and enter the envelope.

Reading, `extract` turns every inline base64 Document into an `xop:Include`, so that all who come later know one form.
Writing, an envelope is cut at its Includes and base64 set in for peers that spoke plain SOAP. Both work on the bytes of
the envelope, with expat as the guide to where elements begin and end; no document is ever whole in memory.
"""

from __future__ import annotations

import binascii
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from secrets import token_hex
from urllib.parse import quote, unquote
from xml.parsers import expat

from xds.errors import SoapFault
from xds.soap.mime import CHUNK, Base64Decoder, Limits, Readable, Stream, limit_fault, sender_fault, shown

XOP = "http://www.w3.org/2004/08/xop/include"
INCLUDE = f"{{{XOP}}}Include"
DOCUMENTS = frozenset({"{urn:ihe:iti:xds-b:2007}Document"})
"""Elements of type base64Binary, in Clark's notation."""

_FAST = 1024 * 1024
_ENCODINGS = frozenset({"utf-8", "us-ascii", "iso-8859-1"})  # splicing ASCII into them is safe
_START_TAG = re.compile(rb"<([^\s/>]+)[^>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^>\"']*)*>")
_DECLARED = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)")
_BASE64_CHUNK = CHUNK // 3 * 3


def include(content_id: str) -> bytes:
    """Make an `xop:Include` element that refers to a part."""
    return f'<xop:Include xmlns:xop="{XOP}" href="{cid_url(content_id)}"/>'.encode("ascii")


def cid_url(content_id: str) -> str:
    """Make the `cid:` URL of a Content-ID (RFC 2392)."""
    return "cid:" + quote(content_id, safe="@!$*+:=,;~")


def cid_of(href: str) -> str | None:
    """Return the Content-ID an Include's href names, percent-decoded; None for another URL, which is never followed."""
    scheme, _, rest = href.strip().partition(":")
    return (unquote(rest) or None) if scheme.lower() == "cid" else None


class Spool:
    """Octets put aside one after the other in one unlinked temporary file: in memory while small, then on disk.

    Args:
        memory: octets kept in memory at most.
    """

    def __init__(self, memory: int) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=memory)  # noqa: SIM115 - lives as long as the message
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append octets.

        Raises:
            SoapFault: Receiver, if there is no room for them.
        """
        try:
            self._file.write(data)
        except OSError as error:
            raise SoapFault("Receiver", "no room to put the message's documents aside") from error
        self.size += len(data)

    def truncate(self, size: int) -> None:
        """Forget what was written beyond `size`."""
        self._file.seek(size)
        self._file.truncate()
        self.size = size

    def stream(self, start: int, end: int) -> Stream:
        """Read the octets from `start` to `end`, once all has been written."""
        return Stream(_Extent(self, start, end).read1)

    def read_at(self, offset: int, size: int) -> bytes:
        """Read up to `size` octets from `offset` on."""
        self._file.seek(offset)
        return self._file.read(size)

    def close(self) -> None:
        """Give the file up."""
        self._file.close()

    def __del__(self) -> None:
        self.close()


@dataclass(slots=True)
class _Extent:
    spool: Spool  # which thereby lives as long as its readers
    at: int
    end: int

    def read1(self, size: int) -> bytes:
        data = self.spool.read_at(self.at, min(size, self.end - self.at))
        self.at += len(data)
        return data


@dataclass(frozen=True, slots=True)
class Extracted:
    """A root part in which every document is an `xop:Include`.

    Attributes:
        root: the XML as it arrived but for the documents that stood inline.
        documents: Content-ID -> first octet and end in the spool, in document order.
        broken: Content-ID -> why the content of the element could not be decoded; no part has this id.
    """

    root: bytes
    documents: dict[str, tuple[int, int]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def extract(stream: Stream, spool: Spool, limits: Limits, names: frozenset[str] = DOCUMENTS) -> Extracted:
    """Read a root part, decode the base64 of its documents into the spool and leave Includes in their place.

    An element without content is a document of zero octets; one that holds an Include stays as it is.

    Args:
        stream: the XML.
        spool: takes the decoded octets.
        limits: see `Limits`.
        names: elements whose content is a document, in Clark's notation.

    Raises:
        SoapFault: no well-formed XML, a DOCTYPE, an encoding other than UTF-8, ASCII and Latin-1, a limit exceeded.
    """
    head, chunk = bytearray(), b"-"
    while chunk and len(head) < _FAST and _has_only_includes(head, names):
        chunk = stream.read(CHUNK)
        head += chunk
    if not head:
        raise sender_fault("the message is empty, expected a SOAP envelope")
    if not chunk and len(head) <= limits.root and _needs_no_parse(head) and _has_only_includes(head, names):
        return Extracted(bytes(head))
    mention = _mention(names).search(head)
    quiet = max(head.rfind(b"<", 0, mention.start() if mention else len(head)), 0)  # expat need not call us until then
    filtering = _Filter(spool, limits, names)
    filtering.feed(bytes(head[:quiet]))
    filtering.watch()
    filtering.feed(bytes(head[quiet:]))
    while chunk := stream.read(CHUNK):
        filtering.feed(chunk)
    return filtering.finish()


def _local(names: frozenset[str]) -> str:
    return "(?:" + "|".join(re.escape(name.rpartition("}")[2]) for name in sorted(names)) + ")"


@lru_cache
def _mention(names: frozenset[str]) -> re.Pattern[bytes]:
    return re.compile(rf"{_local(names)}[\s/>]".encode())


@lru_cache
def _included(names: frozenset[str]) -> re.Pattern[bytes]:
    prefix = r"(?:[^\s<>/:]+:)?"
    include = rf"<{prefix}Include\s[^<>]*(?:/>|>\s*</{prefix}Include\s*>)"
    document = f"{prefix}{_local(names)}"
    return re.compile(rf"<{document}(?:\s[^<>]*)?>\s*{include}\s*</{document}\s*>".encode())


def _has_only_includes(head: bytearray, names: frozenset[str]) -> bool:
    """Tell whether no document stands inline: each mention of one is the begin or the end of one with an Include."""
    mentions = len(_mention(names).findall(head))
    return not mentions or mentions == 2 * len(_included(names).findall(head))


def _needs_no_parse(head: bytearray) -> bool:
    """Tell whether a whole root without inline documents has neither DOCTYPE nor a foreign encoding."""
    declared = _DECLARED.match(head)
    return (
        b"\0" not in head
        and b"<!DOCTYPE" not in head
        and (not declared or declared[1].lower() in {b"utf-8", b"us-ascii"})
    )


def _parser() -> expat.XMLParserType:
    parser = expat.ParserCreate(namespace_separator="}", intern=None)  # None: no table of names
    parser.buffer_text = True
    parser.buffer_size = CHUNK
    if hasattr(parser, "SetReparseDeferralEnabled"):  # since expat 2.6; `Limits.token` bounds what is scanned again
        parser.SetReparseDeferralEnabled(False)
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.XmlDeclHandler = _check_encoding
    return parser


def _refuse_doctype(*_: object) -> None:
    raise sender_fault("the message has a DOCTYPE declaration, which SOAP 1.2 does not allow")


def _check_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding and encoding.lower() not in _ENCODINGS:
        raise sender_fault(f"the XML declaration names encoding {shown(encoding)}, expected UTF-8")


def _parse(parser: expat.XMLParserType, data: bytes, final: bool = False) -> None:
    try:
        parser.Parse(data, final)
    except expat.ExpatError as error:
        raise sender_fault(f"the message is not well-formed XML: {error}") from error


class _Filter:
    """The state of `extract`: which raw bytes are undecided, and what is known of the Document that is open.

    expat's byte index counts from the beginning of the root; `_raw` holds the bytes from index `_base` on. Handlers for
    text and end tags are set within a Document only, so a root costs one call per start tag from the first on that may
    be a Document's.
    """

    def __init__(self, spool: Spool, limits: Limits, names: frozenset[str]) -> None:
        self._spool = spool
        self._limits = limits
        self._names = frozenset(name.removeprefix("{") for name in names)
        self._out: list[bytes] = []
        self._kept = 0
        self._raw = bytearray()
        self._base = 0
        self._done = 0
        self._token = token_hex(8)  # no sender can guess it and name a part so
        self._result = Extracted(b"")
        self._begin_content(outside=True)
        self._parser = _parser()

    def watch(self) -> None:
        """Begin to look for documents."""
        self._set_handlers(self._start)

    def feed(self, data: bytes) -> None:
        if b"\0" in data:
            raise sender_fault("the message holds NUL octets (UTF-16 or no XML), expected XML in UTF-8")
        in_text = self._decoder and not (self._raw or self._depth)
        if in_text and data.isascii() and not any(mark in data for mark in b"<&]"):
            self._decode(data)  # no end of the text here: expat need not see it
            return
        self._raw += data
        _parse(self._parser, data)
        self._done = max(self._done, self._base, self._parser.CurrentByteIndex)  # -1 where expat has none
        if self._base + len(self._raw) - self._done > self._limits.token:
            raise limit_fault("a tag, comment or processing instruction", self._limits.token, "token")
        if self._decoder or self._reason:
            self._skip(self._done)
        if self._kept + len(self._raw) > self._limits.root:
            raise limit_fault("root part", self._limits.root, "root")

    def finish(self) -> Extracted:
        _parse(self._parser, b"", final=True)
        self._keep(self._base + len(self._raw))
        self._parser.StartElementHandler = None  # no reference cycle is left to the garbage collector
        return Extracted(b"".join(self._out), self._result.documents, self._result.broken)

    def _set_handlers(self, start: Callable[[str, object], None], inside: bool = False) -> None:
        self._parser.StartElementHandler = start
        self._parser.CharacterDataHandler = self._text if inside else None
        self._parser.EndElementHandler = self._end if inside else None

    def _begin_content(self, outside: bool = False) -> None:
        self._depth = 0
        self._included = False
        self._decoder: Base64Decoder | None = None
        self._reason = ""
        self._first = 0 if outside else self._spool.size

    def _start(self, name: str, _attributes: object) -> None:
        if name in self._names:
            self._open()

    def _open(self) -> None:
        tag = _START_TAG.match(self._raw, self._parser.CurrentByteIndex - self._base)
        if tag is None:  # expat has seen the whole tag, in an encoding where it is these bytes
            raise sender_fault("the start tag of a document cannot be found again in the message")
        self._begin_content()
        text, name, end = tag[0], tag[1], self._base + tag.end()
        if text.endswith(b"/>"):
            self._keep(end - 2)
            self._out.append(b">" + self._leave_include() + b"</" + name + b">")
            self._skip(end)
            return
        self._keep(end)
        self._set_handlers(self._child, inside=True)

    def _text(self, text: str) -> None:
        data = text.encode()
        if self._depth or data.isspace():
            return
        if self._included:
            self._fail("text beside xop:Include")
        self._decode(data)

    def _decode(self, data: bytes) -> None:
        if self._reason:
            return
        self._decoder = self._decoder or Base64Decoder()
        try:
            self._spool.write(self._decoder.feed(data))
        except ValueError as error:
            self._fail(str(error))

    def _child(self, name: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        if "{" + name != INCLUDE:
            self._fail(f"element {shown(name.rpartition('}')[2])} where base64 or xop:Include was expected")
        elif self._included or self._decoder:
            self._fail("xop:Include beside other content")
        self._included = True

    def _fail(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._spool.truncate(self._first)

    def _end(self, _name: str) -> None:
        if self._depth:
            self._depth -= 1
            return
        if self._reason or not self._included:
            self._skip(self._parser.CurrentByteIndex)
            self._out.append(self._leave_include())
        self._begin_content(outside=True)
        self.watch()

    def _leave_include(self) -> bytes:
        """Close the books on the open Document and return the Include that stands for it."""
        content_id = f"inline-{len(self._result.documents) + len(self._result.broken) + 1}@{self._token}.xds"
        try:
            if self._decoder:
                self._decoder.finish()
        except ValueError as error:
            self._fail(str(error))
        if self._reason:
            self._result.broken[content_id] = self._reason
        else:
            self._result.documents[content_id] = (self._first, self._spool.size)
        return include(content_id)

    def _keep(self, index: int) -> None:
        """Let the raw bytes before `index` stand."""
        count = index - self._base
        self._out.append(bytes(self._raw[:count]))
        self._kept += count
        self._skip(index)

    def _skip(self, index: int) -> None:
        """Drop the raw bytes before `index`."""
        del self._raw[: index - self._base]
        self._base = index


# --- writing ---------------------------------------------------------------------------------------------------


def split_at_includes(root: bytes) -> list[tuple[bytes, str]]:
    """Cut an envelope of ours at its Includes.

    Returns:
        Pairs of XML and the Content-ID whose base64 follows it; the last pair has no Content-ID ("").

    Raises:
        ValueError: an Include's href is no `cid:` URL.
        SoapFault: not well formed, or not in UTF-8.
    """
    cutting = _Cutting(root, _parser())
    _parse(cutting.parser, root, final=True)
    cutting.parser.StartElementHandler = cutting.parser.EndElementHandler = None
    return [*cutting.pieces, (root[cutting.at :], "")]


class _Cutting:
    def __init__(self, root: bytes, parser: expat.XMLParserType) -> None:
        self.root = root
        self.parser = parser
        self.pieces: list[tuple[bytes, str]] = []
        self.at = 0
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if "{" + name != INCLUDE:
            return
        href = attributes.get("href", "")
        content_id = cid_of(href)
        if not content_id:
            raise ValueError(f"xop:Include has href {shown(href)}, expected a cid: URL")
        start = self.parser.CurrentByteIndex
        self.pieces.append((self.root[self.at : start], content_id))
        tag = _START_TAG.match(self.root, start)
        self.at = tag.end() if tag else start
        self._empty = self.root.endswith(b"/>", 0, self.at)

    def _end(self, name: str) -> None:
        if "{" + name == INCLUDE and not self._empty:
            self.at = self.root.index(b">", self.parser.CurrentByteIndex) + 1


def base64_text(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Encode octets that arrive in pieces as one base64 text without line breaks."""
    carry = b""
    for chunk in chunks:
        for start in range(0, len(chunk), _BASE64_CHUNK):
            data = carry + chunk[start : start + _BASE64_CHUNK]
            whole = len(data) - len(data) % 3
            carry = data[whole:]
            yield binascii.b2a_base64(data[:whole], newline=False)
    yield binascii.b2a_base64(carry, newline=False)


def octets(body: bytes | Readable | Iterable[bytes]) -> Iterator[bytes]:
    """Iterate over content given as bytes, as an open stream, or as an iterable of pieces."""
    if isinstance(body, bytes):
        return iter((body,))
    if hasattr(body, "read"):
        return iter(partial(body.read, CHUNK), b"")
    return iter(body)
