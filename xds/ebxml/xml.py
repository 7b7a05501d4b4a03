"""XML in and out: one hardened parser, and escaping for octets we write ourselves.

Nothing is ever fetched, no entity is ever expanded, a DOCTYPE is refused, depth and text size have libxml2's bounds.
"""

from __future__ import annotations

import threading

from lxml import etree

from xds.errors import SoapFault

Element = etree._Element  # noqa: SLF001 - lxml exports its element type under no other name

_local = threading.local()


def _parser() -> etree.XMLParser:
    parser = getattr(_local, "parser", None)
    if parser is None:
        parser = _local.parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
    return parser


def parse(data: bytes) -> Element:
    """Parse a message.

    Raises:
        SoapFault: Sender, if it is not well-formed, has a DOCTYPE, or goes beyond the parser's bounds.
    """
    try:
        root = etree.fromstring(data, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        words = getattr(error, "msg", None) or error  # without lxml's name for what has no file
        raise SoapFault("Sender", f"the message is not well-formed XML: {words}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise SoapFault("Sender", "a DOCTYPE is not allowed in a SOAP message (SOAP 1.2 Part 1, section 5)")
    return root


def serialize(element: Element) -> bytes:
    """The element as UTF-8 octets without an XML declaration, its namespaces declared on it."""
    return etree.tostring(element, encoding="UTF-8", xml_declaration=False, with_tail=False)


def text(value: str) -> str:
    """Escape element content."""
    if "&" in value:
        value = value.replace("&", "&amp;")
    if "<" in value:
        value = value.replace("<", "&lt;")
    if ">" in value:
        value = value.replace(">", "&gt;")
    if "\r" in value:
        value = value.replace("\r", "&#13;")
    return value


def quoted(value: str) -> str:
    """Escape and quote an attribute value; line ends survive attribute normalisation."""
    value = text(value)
    if '"' in value:
        value = value.replace('"', "&quot;")
    if "\n" in value or "\t" in value:
        value = value.replace("\n", "&#10;").replace("\t", "&#9;")
    return f'"{value}"'
