"""MIME as far as MTOM needs it (RFC 2045, 2231, 2387): limits, Content-Type fields, parts, transfer encodings."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import collapse_rfc2231_value, decode_params, unquote
from functools import lru_cache
from typing import Protocol

from xds.errors import Code, SoapFault, XDSError

CHUNK = 128 * 1024
"""Octets asked of a stream at a time."""

_QUOTED_PRINTABLE_LINE = 8192  # RFC 2045 6.7 allows 76
_FIELD_LENGTH = 4096
_SHOWN = 80
_BOUNDARY_LENGTH = 70  # RFC 2046 5.1.1
_WHITE = b" \t\r\n"

_SPACE = r"(?:\s|\([^()]*\))*"  # white space, folds and comments (RFC 822 3.1.4)
_TOKEN = r"[^\s;=()<>@,\\\":/\[\]?]+"  # noqa: S105 - RFC 2045's token
_MEDIA_TYPE = re.compile(rf"{_SPACE}({_TOKEN}/{_TOKEN}){_SPACE}")
_PARAMETER = re.compile(
    rf";{_SPACE}(?:({_TOKEN}){_SPACE}={_SPACE}(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+)){_SPACE})?", re.DOTALL
)
_BOUNDARY = re.compile(rf"[\x20-\x7e]{{0,{_BOUNDARY_LENGTH - 1}}}[\x21-\x7e]")
_TRAILING_WHITE = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")


class Readable(Protocol):
    """What is asked of an input: WSGI's `wsgi.input`, a response body, a file. Short reads are fine, b"" is the end."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` octets."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message may cost, in octets unless said otherwise; beyond it the answer is a fault with HTTP status 413.

    Attributes:
        message: the whole body as it arrives, which also bounds what is put aside on disk.
        root: the root part (envelope and metadata) without inline documents.
        headers: the header fields of one part.
        parts: number of parts.
        preamble: what may stand before the first boundary.
        token: one tag, comment or processing instruction of the root.
        memory: documents put aside stay in memory up to this size and go to disk beyond it.
    """

    message: int = 4 << 30
    root: int = 16 << 20
    headers: int = 16 << 10
    parts: int = 10_000
    preamble: int = 64 << 10
    token: int = 1 << 20
    memory: int = 64 << 10


def sender_fault(reason: str) -> SoapFault:
    """Make the fault for a message that is not well formed."""
    return SoapFault("Sender", reason)


def limit_fault(what: str, limit: int, name: str, unit: str = "octets") -> SoapFault:
    """Make the fault for a message that is too large, naming the limit."""
    return SoapFault("Sender", f"{what}: more than the {limit} {unit} of limit {name!r}", status=413)


def shown(value: str | bytes) -> str:
    """Quote a received value for a fault text: printable ASCII, cut to 80 characters."""
    text = value if isinstance(value, str) else value.decode("latin-1")
    return ascii(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


# --- header fields ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContentType:
    """A Content-Type field: `type/subtype` in lower case, and its parameters under lower-case names."""

    media_type: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """Return a parameter, None if absent."""
        return self.parameters.get(name)

    @property
    def boundary(self) -> str:
        """The boundary parameter (RFC 2046 5.1.1): 1 to 70 printable characters, the last no space.

        Raises:
            SoapFault: it is absent or of another form.
        """
        boundary = self.get("boundary")
        if boundary is None:
            raise sender_fault(f"Content-Type {self.media_type} has no boundary parameter")
        if not _BOUNDARY.fullmatch(boundary):
            found = f"{shown(boundary)} ({len(boundary)} characters)"
            raise sender_fault(
                f"Content-Type parameter boundary is {found}, expected 1 to {_BOUNDARY_LENGTH} printable characters"
            )
        return boundary

    @property
    def start(self) -> str | None:
        """The Content-ID of the root part without angle brackets (RFC 2387 3.2), None if absent."""
        return bare_content_id(self.get("start") or "")


def bare_content_id(value: str) -> str | None:
    """Strip white space and angle brackets from a Content-ID; None if nothing is left."""
    value = value.strip()
    return (value[1:-1].strip() if value[:1] == "<" and value[-1:] == ">" else value) or None


@lru_cache(maxsize=256)  # a peer writes the same ones again and again
def parse_content_type(value: str | None) -> ContentType:
    """Parse a Content-Type field as RFC 2045 section 5.1 and RFC 2231 allow, and as peers write it.

    Any case and order, values quoted or not, quoted pairs, folds, comments, empty parameters, continuations
    (`boundary*0=`) and charsets (`boundary*=`).

    Raises:
        SoapFault: absent, malformed, or a parameter given twice.
    """
    if not value or not value.strip():
        raise sender_fault("Content-Type is missing")
    if len(value) > _FIELD_LENGTH:
        raise sender_fault(f"Content-Type has {len(value)} characters, expected at most {_FIELD_LENGTH}")
    value = re.sub(r"\r?\n(?=[ \t])", "", value).strip()
    head = _MEDIA_TYPE.match(value)
    if not head:
        raise sender_fault(f"Content-Type is {shown(value)}, expected type/subtype")
    return ContentType(head[1].lower(), _unique(_parameters(value, head.end())))


def _parameters(value: str, at: int) -> Iterator[tuple[str, str]]:
    while at < len(value):
        match = _PARAMETER.match(value, at)
        if not match:
            raise sender_fault(f'Content-Type has {shown(value[at:])} where ; name="value" was expected')
        at = match.end()
        name, quoted, plain = match.groups()
        if name:
            yield name.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)


def _unique(found: Iterator[tuple[str, str]]) -> dict[str, str]:
    pairs = list(found)
    if any("*" in name for name, _ in pairs):
        joined = decode_params([("", ""), *pairs])[1:]
        pairs = [(name, unquote(collapse_rfc2231_value(value))) for name, value in joined]
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise sender_fault(f"Content-Type parameter {shown(twice)} is given twice")
    return parameters


# --- octets in passing -----------------------------------------------------------------------------------------


class Stream:
    """Octets that are read once, from front to end.

    Args:
        read1: returns between one and the given number of octets, b"" at the end.
    """

    __slots__ = ("_read1",)

    def __init__(self, read1: Callable[[int], bytes]) -> None:
        self._read1 = read1

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` octets (often fewer, b"" only at the end), or all that is left if negative."""
        if size > 0:
            return self._read1(size)
        return b"".join(iter(lambda: self._read1(CHUNK), b"")) if size else b""

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Read into a buffer and return the number of octets, 0 at the end."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message.

    Attributes:
        content_id: Content-ID without angle brackets, None if it has none and so cannot be referred to.
        headers: header fields under lower-case names.
        stream: the content; it is gone as soon as the next part is asked for.
    """

    content_id: str | None
    headers: Mapping[str, str]
    stream: Stream


# --- transfer encodings (RFC 2045 6) ---------------------------------------------------------------------------


class Decoder(Protocol):
    """Decodes a text that arrives in pieces; ValueError says what is wrong with it."""

    def feed(self, data: bytes) -> bytes:
        """Decode what can be decoded by now."""

    def finish(self) -> bytes:
        """Decode the rest: the text is complete."""


class Base64Decoder:
    """Base64 (RFC 4648 section 4) in pieces: white space is passed over, all else must be alphabet and padding."""

    def __init__(self) -> None:
        self._carry = b""
        self._padded = False

    def feed(self, data: bytes) -> bytes:
        """Decode what is complete of the text so far.

        Raises:
            ValueError: a character outside the alphabet, or padding that is not at the end.
        """
        data = self._carry + data.translate(None, _WHITE)
        if not data:
            return b""
        if self._padded:
            raise ValueError(f"base64 goes on after its padding with {shown(data[:8])}")
        whole = len(data) & ~3
        self._carry = data[whole:]
        self._padded = data[whole - 1 : whole] == b"="
        try:
            return binascii.a2b_base64(data[:whole], strict_mode=True)
        except binascii.Error as error:
            raise ValueError(self._reason(data)) from error

    def finish(self) -> bytes:
        """End the text.

        Raises:
            ValueError: the last group of four characters is not complete.
        """
        if self._carry:
            raise ValueError(self._reason(self._carry))
        return b""

    @staticmethod
    def _reason(data: bytes) -> str:
        stranger = re.search(rb"[^A-Za-z0-9+/=]", data)
        if stranger:
            return f"{shown(data[stranger.start() : stranger.start() + 8])} is not in the base64 alphabet"
        return "base64 is not in groups of four characters with = only at the end"


class QuotedPrintableDecoder:
    """Quoted-printable (RFC 2045 section 6.7) in pieces, line by line; what is no escape stays as it is."""

    def __init__(self) -> None:
        self._carry = b""

    def feed(self, data: bytes) -> bytes:
        """Decode the complete lines so far.

        Raises:
            ValueError: a line is far beyond the 76 characters allowed.
        """
        data = self._carry + data
        lines = data.rfind(b"\n") + 1
        self._carry = data[lines:]
        if len(self._carry) > _QUOTED_PRINTABLE_LINE:
            raise ValueError(f"quoted-printable line of more than {_QUOTED_PRINTABLE_LINE} characters")
        return self._decode(data[:lines])

    def finish(self) -> bytes:
        """Decode the last line."""
        return self._decode(self._carry)

    @staticmethod
    def _decode(data: bytes) -> bytes:
        return binascii.a2b_qp(_TRAILING_WHITE.sub(b"", data))


def decoded(part: Part, *, is_root: bool = False) -> Part:
    """Undo a part's Content-Transfer-Encoding: binary, 8bit, 7bit, none pass; base64, quoted-printable are decoded.

    Where the content cannot be decoded, the stream raises XDSError XDSMissingDocument, since the message around it is
    sound, or a SoapFault if it is the root.

    Raises:
        SoapFault: an encoding that RFC 2045 does not know.
    """
    encoding = part.headers.get("content-transfer-encoding", "binary").lower()
    if encoding in {"binary", "8bit", "7bit", ""}:
        return part
    if encoding not in {"base64", "quoted-printable"}:
        found = f"of part {shown(part.content_id or '')} is {shown(encoding)}"
        expected = "binary, 8bit, 7bit, base64 or quoted-printable"
        raise sender_fault(f"Content-Transfer-Encoding {found}, expected {expected}")
    decoder = Base64Decoder() if encoding == "base64" else QuotedPrintableDecoder()
    return replace(part, stream=Stream(_Decoding(part, decoder, is_root=is_root).read1))


class _Decoding:
    def __init__(self, part: Part, decoder: Decoder, *, is_root: bool) -> None:
        self._part = part
        self._is_root = is_root
        self._decoder = decoder
        self._ready = b""
        self._at = 0
        self._ended = False

    def read1(self, size: int) -> bytes:
        while self._at == len(self._ready) and not self._ended:
            self._ready, self._at = self._next(), 0
        data = self._ready[self._at : self._at + size]
        self._at += len(data)
        return data

    def _next(self) -> bytes:
        chunk = self._part.stream.read(CHUNK)
        self._ended = not chunk
        try:
            return self._decoder.feed(chunk) if chunk else self._decoder.finish()
        except ValueError as error:
            raise self._error(str(error)) from error

    def _error(self, reason: str) -> Exception:
        if self._is_root:
            return sender_fault(f"root part: {reason}")
        name = self._part.content_id
        return XDSError(Code.XDSMissingDocument, f"part {shown(name or '')}: {reason}", name)
