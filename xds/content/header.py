"""Read the header of a CDA R2 document and stop where its body begins (HL7 CDA R2 4.2 Header, 4.3 Body).

A body may be an embedded PDF of hundreds of megabytes: the stream is read up to the start tag that shows which kind of
body it is, and no further. The parser fetches nothing and knows no entities; a DOCTYPE is refused where it begins.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lxml.etree import _Element as Element

V3 = "urn:hl7-org:v3"
DOCUMENT = f"{{{V3}}}ClinicalDocument"
MAX_HEADER = 4 * 2**20
"""Octets within which the body must begin; real headers have some 10 KB."""
CHUNK = 32 * 2**10

_BODIES = {
    ("component", "structuredBody"),
    ("component", "nonXMLBody", "text"),  # its attributes tell the embedded media type
}


class ContentError(ValueError):
    """A file cannot be described: the text says in a person's words what was found and what is expected."""


class _Enough(Exception):  # noqa: N818 - no error: all that is wanted has been read
    pass


class _HeaderTarget:
    """Builds the tree of the header; raises `_Enough` at the body."""

    def __init__(self) -> None:
        self.builder: Any = etree.TreeBuilder()  # the stubs give its methods no result
        self.roots: list[Element] = []
        self.path: list[str] = []

    def doctype(self, name: str, *_: object) -> None:
        raise ContentError(f"it has a DOCTYPE ({name}); a CDA document has none, and entities are not read")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if not self.roots and tag != DOCUMENT:
            raise ContentError(f"its root element is {tag}; expected {DOCUMENT}")
        try:
            el: Element = self.builder.start(tag, attributes)
        except ValueError as error:  # a name or namespace that the parser takes and a tree does not
            raise ContentError(f"it is no well-formed XML: {error}") from None
        if not self.roots:
            self.roots.append(el)
            return
        self.path.append(tag.removeprefix(f"{{{V3}}}"))
        if tuple(self.path) in _BODIES:
            raise _Enough

    def end(self, tag: str) -> None:
        self.builder.end(tag)
        if self.path:
            self.path.pop()

    def data(self, data: str) -> None:
        self.builder.data(data)

    def close(self) -> None:
        """Leave the tree as it is: `roots` holds it."""


class _RootTarget:
    """Tells by the DOCTYPE or the start tag of the root, whichever comes first; no DTD is looked into."""

    is_cda = False

    def doctype(self, name: str, *_: object) -> None:
        self.is_cda = name.rpartition(":")[2] == "ClinicalDocument"
        raise _Enough

    def start(self, tag: str, _: Mapping[str, str]) -> None:
        self.is_cda = tag == DOCUMENT
        raise _Enough

    def close(self) -> None:
        """Nothing is built."""


def _parser(target: object) -> etree.XMLParser:
    # resolve_entities stays at "internal": with False a target gets &#38; for each & of an attribute. There are none to
    # resolve: both targets stop the parser at a DOCTYPE.
    return etree.XMLParser(target=target, no_network=True, load_dtd=False, huge_tree=False)  # type: ignore[arg-type]


def is_cda(head: bytes) -> bool:
    """Tell whether a file is a CDA document by its first octets, a few hundred at least.

    A document with a DOCTYPE counts, so that reading it can say why it is refused.
    """
    target = _RootTarget()
    with suppress(_Enough, etree.XMLSyntaxError):
        _parser(target).feed(head)
    return target.is_cda


def parse_header(source: BinaryIO | Path) -> Element:
    """Read the header elements of a CDA document.

    Args:
        source: a file, or a stream at its beginning; it is read to about the end of the header.

    Returns:
        ClinicalDocument with what stands before the body, without comments; the body element is there, but empty.

    Raises:
        ContentError: if it is no well-formed XML, no CDA, has a DOCTYPE, or no body begins within `MAX_HEADER` octets.
        OSError: if the file cannot be read.
    """
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return parse_header(stream)
    target = _HeaderTarget()
    parser = _parser(target)
    try:
        for chunk in _chunks(source):
            parser.feed(chunk)
        parser.close()
    except _Enough:
        pass
    except etree.XMLSyntaxError as error:
        raise ContentError(f"it is no well-formed XML: {error.msg}") from None
    return target.roots[0]


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    seen = 0
    while chunk := stream.read(CHUNK):
        yield chunk
        seen += len(chunk)
        if seen >= MAX_HEADER:
            raise ContentError(
                f"its header does not end within {MAX_HEADER} octets; expected component/structuredBody or nonXMLBody"
            )
