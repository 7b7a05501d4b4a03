"""Read the header of a CDA R2 document and stop where its body begins (HL7 CDA R2 4.2 Header, 4.3 Body).

A body may be an embedded PDF of hundreds of megabytes: the stream is read up to the start tag that shows which kind of
body it is, and no further. The parser fetches nothing and knows no entities; a DOCTYPE is refused where it begins.
What of the body has come in with the header is cut off again, be it well-formed or not.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lxml.etree import _Element as Element

V3 = "urn:hl7-org:v3"
DOCUMENT = f"{{{V3}}}ClinicalDocument"
MAX_HEADER = 4 * 2**20
"""Octets within which the body must begin; real headers have some 10 KB."""
CHUNK = 32 * 2**10

_COMPONENT, _NON_XML = f"{{{V3}}}component", f"{{{V3}}}nonXMLBody"
_BODIES = {
    f"{{{V3}}}structuredBody": [_COMPONENT, DOCUMENT],
    f"{{{V3}}}text": [_NON_XML, _COMPONENT, DOCUMENT],  # its attributes tell the embedded media type
}
"""Start tag to read up to -> the elements it must stand in, innermost first."""
_SAFE: Mapping[str, Any] = {"no_network": True, "load_dtd": False, "huge_tree": False}


class ContentError(ValueError):
    """A file cannot be described: the text says in a person's words what was found and what is expected."""


class _Enough(Exception):  # noqa: N818 - no error: all that is wanted has been read
    pass


class _RootTarget:
    """Tells the DOCTYPE or the start tag of the root, whichever comes first; no DTD is looked into."""

    doctype_name: str | None = None
    tag: str | None = None

    def doctype(self, name: str, *_: object) -> None:
        self.doctype_name = name
        raise _Enough

    def start(self, tag: str, _: Mapping[str, str]) -> None:
        self.tag = tag
        raise _Enough

    def close(self) -> None:
        """Nothing is built."""

    def check(self) -> None:
        """Refuse what has turned out to be no CDA document, or none that is safe to read."""
        if self.doctype_name is not None:
            name = self.doctype_name
            raise ContentError(f"it has a DOCTYPE ({name}); a CDA document has none, and entities are not read")
        if self.tag not in (None, DOCUMENT):
            raise ContentError(f"its root element is {self.tag}; expected {DOCUMENT}")


def _parser(target: object) -> etree.XMLParser:
    return etree.XMLParser(target=target, **_SAFE)  # type: ignore[arg-type]


def is_cda(head: bytes) -> bool:
    """Tell whether a file is a CDA document by its first octets, a few hundred at least.

    A document with a DOCTYPE counts, so that reading it can say why it is refused.
    """
    target = _RootTarget()
    with suppress(_Enough, etree.XMLSyntaxError):
        _parser(target).feed(head)
    return target.tag == DOCUMENT or (target.doctype_name or "").rpartition(":")[2] == "ClinicalDocument"


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
    namespaces: set[str] = set()
    try:
        root, body = _read(_of_cda(_chunks(source)), namespaces)
    except etree.XMLSyntaxError as error:
        raise ContentError(f"it is no well-formed XML: {error.msg}") from None
    if body is not None:
        _cut_off(body)
    _check_namespaces(root, namespaces)
    return root


def _of_cda(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass on a document as soon as its beginning shows no DOCTYPE and the right root."""
    target = _RootTarget()
    parser = _parser(target)
    for chunk in chunks:
        if target.tag is None:
            with suppress(_Enough, etree.XMLSyntaxError):  # whoever reads on will find the same fault
                parser.feed(chunk)
        target.check()
        yield chunk
    if target.tag is None:
        with suppress(_Enough, etree.XMLSyntaxError):  # the parser may have waited for more
            parser.close()
    target.check()


def _read(chunks: Iterable[bytes], namespaces: set[str]) -> tuple[Element, Element | None]:
    """Read until the body is there, or to the end; gives the root and the body."""
    parser = etree.XMLPullParser(
        ("start-ns", "start"), tag=tuple(_BODIES), remove_comments=True, remove_pis=True, **_SAFE
    )
    for chunk in chunks:
        try:
            parser.feed(chunk)
            body = _body(parser.read_events(), namespaces)
        except etree.XMLSyntaxError:  # in the body it is no fault of the header
            body = _body(parser.read_events(), namespaces)
            if body is None:
                raise
        if body is not None:
            return body.getroottree().getroot(), body
    return parser.close(), None


def _body(events: Iterable[tuple[str, Any]], namespaces: set[str]) -> Any:
    """Find the start tag of the body; namespaces declared before it are noted."""
    for event, found in events:
        if event == "start-ns":
            namespaces.add(found[1])
        elif [parent.tag for parent in found.iterancestors()] == _BODIES[found.tag]:
            return found
    return None


def _check_namespaces(root: Element, declared: Iterable[str]) -> None:
    """Refuse names in a namespace that is no URI; it may be declared (Namespaces in XML 1.0, 2.2)."""
    for uri in filter(None, declared):
        try:
            etree.Element(f"{{{uri}}}name")
        except ValueError as error:
            if root.xpath("//*[namespace-uri()=$uri] | //@*[namespace-uri()=$uri]", uri=uri):
                raise ContentError(f"it is no well-formed XML: {error}") from None


def _cut_off(body: Element) -> None:
    """Take away what was read beyond the body's start tag."""
    del body[:]
    body.text = None
    for el in (body, *body.iterancestors()):
        el.tail = None
        parent = el.getparent()
        if parent is not None:
            del parent[parent.index(el) + 1 :]


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    seen = 0
    while chunk := stream.read(CHUNK):
        yield chunk
        seen += len(chunk)
        if seen >= MAX_HEADER:
            raise ContentError(
                f"its header does not end within {MAX_HEADER} octets; expected component/structuredBody or nonXMLBody"
            )
