"""A message as someone saved it: with the HTTP header or without, MIME or plain XML, chunked or whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import HTTP

from xds.errors import SoapFault
from xds.soap.mtom import SOAP_XML, XOP_XML

_START_LINE = re.compile(rb"\s*(?:[A-Z]+ \S+ HTTP/\d\S*|HTTP/\d\S* \d{3}[^\r\n]*)\r?\n")
_FIELD = re.compile(rb"\s*[A-Za-z][A-Za-z0-9-]*:[ \t]")
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")
_BOUNDARY = re.compile(rb"\s*--([\x21-\x7e][\x20-\x7e]{0,69})\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, slots=True)
class Capture:
    """One HTTP message, or what of it is there.

    Attributes:
        content_type: the field as sent; made up from the body if it was not saved.
        body: the octets after the header, chunks joined.
        soap_action: the HTTP header SOAPAction.
    """

    content_type: str
    body: bytes
    soap_action: str | None = None


def read_capture(data: bytes) -> Capture:
    """Take the header off a saved message.

    Raises:
        SoapFault: the header never ends, or the body is wrongly chunked.
    """
    start_line = _START_LINE.match(data)
    if not start_line and not _FIELD.match(data):
        return Capture(_guessed(data), data)
    # with a line end in front, for a header without fields
    rest = b"\r\n" + (data[start_line.end() :] if start_line else data.lstrip())
    end = _END_OF_HEADER.search(rest)
    if end is None:
        raise SoapFault("Sender", "the HTTP header has no end (an empty line), and no message follows")
    fields = BytesHeaderParser(policy=HTTP).parsebytes(rest[2 : end.start()])
    body = rest[end.end() :]
    if "chunked" in str(fields.get("Transfer-Encoding", "")).lower():
        body = _joined(body)
    # not policy's parsed value: the server reads the field as it was sent
    found = dict(fields.raw_items())
    names = {name.lower(): value for name, value in found.items()}
    return Capture(names.get("content-type") or _guessed(body), body, names.get("soapaction"))


def _guessed(body: bytes) -> str:
    boundary = _BOUNDARY.match(body)
    if boundary:
        return f'multipart/related; type="{XOP_XML}"; boundary="{boundary[1].decode().rstrip()}"'
    return f"{SOAP_XML}; charset=UTF-8"


def _joined(body: bytes) -> bytes:
    """Join chunks (RFC 9112, 7.1)."""
    pieces: list[bytes] = []
    at = 0
    while match := _CHUNK.match(body, at):
        size = int(match[1], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[match.end() : match.end() + size])
        at = match.end() + size + len(b"\r\n")
    raise SoapFault("Sender", f"the body is wrongly chunked at octet {at}")
