"""What a file shows of itself: its media type, and an identifier made of its content (RFC 6838; RFC 9562)."""

from __future__ import annotations

import codecs
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID

from xds.content.header import is_cda

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = 8 * 2**10
_CHUNK = 2**20
_DICOM_PREAMBLE = 128


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _is_text(head: bytes) -> bool:
    """Tell whether these octets can be text: UTF-8, maybe cut within a character, without NUL; or marked UTF-16."""
    if head.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def _is_xml(head: bytes) -> bool:
    return _is_text(head) and head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<")


def _is_fhir_json(head: bytes) -> bool:
    return _is_text(head) and head.lstrip().startswith(b"{") and b'"resourceType"' in head


# In this order: the first that fits is taken.
_SIGNATURES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("application/pdf", lambda head: b"%PDF-" in head[:1024]),
    ("image/jpeg", _starts(b"\xff\xd8\xff")),
    ("image/png", _starts(b"\x89PNG\r\n\x1a\n")),
    ("image/gif", _starts(b"GIF87a", b"GIF89a")),
    ("image/tiff", _starts(b"II*\0", b"MM\0*")),
    ("application/dicom", lambda head: head[_DICOM_PREAMBLE : _DICOM_PREAMBLE + 4] == b"DICM"),
    ("text/rtf", _starts(b"{\\rtf")),
    ("application/x-hl7", _starts(b"MSH|")),
    ("text/xml", is_cda),
    ("application/fhir+xml", lambda head: _is_xml(head) and b'"http://hl7.org/fhir"' in head),
    ("application/fhir+json", _is_fhir_json),
    ("text/xml", _is_xml),
)
_TEXT_SUFFIXES = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".md": "text/plain",
    ".csv": "text/csv",
    ".html": "text/html",
}


def describe_file(path: Path) -> str | None:
    """Find the media type of a file: by its first octets, for kinds of text by its suffix.

    A suffix that the content contradicts counts for nothing: a `.pdf` that is none has no type here.

    Returns:
        The media type; None if it is not recognised and has to be given.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    recognised = next((mime_type for mime_type, fits in _SIGNATURES if fits(head)), None)
    return recognised or (_TEXT_SUFFIXES.get(path.suffix.lower()) if _is_text(head) else None)


def unique_id_of(stream: BinaryIO) -> str:
    """Derive a uniqueId from content, so that submitting the same file again names the same document.

    The form is an OID under 2.25 (ITU-T X.667: a UUID as an arc), which needs no registration and which every system
    takes as a uniqueId, also those that allow nothing but an OID of 64 characters. The UUID is of version 8: 122 bits
    of the SHA-256.

    Args:
        stream: open at its beginning, read to its end.
    """
    digest = sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    bits = int.from_bytes(digest.digest()[:16])
    bits = bits & ~(0xF << 76) | 8 << 76  # version
    bits = bits & ~(0b11 << 62) | 0b10 << 62  # variant of RFC 9562
    return oid_of(UUID(int=bits))


def oid_of(uuid: UUID) -> str:
    """Write a UUID as an OID under 2.25 (ITU-T X.667)."""
    return f"2.25.{uuid.int}"
