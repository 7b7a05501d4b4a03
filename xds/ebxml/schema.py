"""The schemas and WSDLs of `schemas/`: offline validation of body elements, and the WSDLs as actors publish them.

The files are package data of `xds.schemas`; a checkout that is not installed finds them in its own `schemas/`. They
refer to nothing but each other, and hints in a message (xsi:schemaLocation) are not followed: no network, no foreign
file. Which published schema each file mirrors, and where they differ on purpose, is in `schemas/README.md`.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTORS = ("DocumentRegistry", "DocumentRepository")
MAX_VIOLATIONS = 50  # of one message: whoever needs more has sent another kind of message
MAX_TEXT = 400  # characters; a hostile name or value must not fill answers and logs

SLOT = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}Slot"
PREFIXES = {
    "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0": "rim",
    "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0": "rs",
    "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0": "lcm",
    "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0": "query",
    "urn:ihe:iti:xds-b:2007": "xds",
    "urn:ihe:iti:rmd:2017": "rmd",
    "http://www.w3.org/2004/08/xop/include": "xop",
    "http://www.w3.org/XML/1998/namespace": "xml",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a message breaks its schema.

    Attributes:
        text: what is wrong: element, attribute and value found, and what was expected.
        where: the place for a person, such as "Slot 'hash' of ExtrinsicObject 'doc1'"; empty above all objects.
        location: id of the innermost object around the place, for `XDSError.location`; None above all objects.
        line: line of the message the element starts in; 0 if it was not parsed from text.
    """

    text: str
    where: str
    location: str | None
    line: int

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        place = ", ".join(filter(None, (self.where, line)))
        return f"{self.text} ({place})" if place else self.text


def validate(el: etree._Element) -> Iterator[Violation]:
    """Check a body element against the schemas of `schemas/` (ITI TF-3 4.2.3.1; ebRS 3.0).

    Any number of threads may call this at the same time, each with a tree of its own. Documents that arrive as MTOM
    parts are no base64: of a ProvideAndRegisterDocumentSetRequest validate the SubmitObjectsRequest.

    Args:
        el: the element in its envelope or alone; the tree is not changed.

    Yields:
        The violations in document order, at most `MAX_VIOLATIONS`; nothing if the element is valid. After a child out
        of place its later siblings are not looked at.
    """
    with _compiled() as schema:
        if schema.validate(el):
            return
        log: Any = schema.error_log  # a list, which lxml's stubs do not say
        entries = log[:MAX_VIOLATIONS]
    for entry in entries:
        yield _violation(el, entry)


def schema_file(name: str) -> bytes:
    """Return one of the files of `schemas/` as it is stored: `rim.xsd`, `DocumentRegistry.wsdl`.

    Raises:
        LookupError: there is no schema or WSDL of that name.
    """
    if name not in _names():
        raise LookupError(f"no schema or WSDL is called {name!r}")
    return (_folder() / name).read_bytes()


def wsdl(actor: str, address: str) -> bytes:
    """Return the WSDL 1.1 of an actor, as `GET <address>?wsdl` answers (ITI TF-2 Appendix V).

    Its schemas are named as `<address>?xsd=<name>`; answer those with `xsd`.

    Args:
        actor: one of `ACTORS`.
        address: absolute URL of the endpoint as clients reach it, without query.

    Raises:
        LookupError: no such actor.
    """
    if actor not in ACTORS:
        raise LookupError(f"no WSDL for {actor!r}; there is {' and '.join(ACTORS)}")
    return _published(f"{actor}.wsdl", address).replace(b"{address}", _attribute(address))


def xsd(name: str, address: str) -> bytes:
    """Return a schema whose references are `<address>?xsd=<name>` again, as `GET <address>?xsd=<name>` answers.

    Raises:
        LookupError: there is no schema of that name.
    """
    if not name.endswith(".xsd"):
        raise LookupError(f"no schema is called {name!r}")
    return _published(name, address)


def _published(name: str, address: str) -> bytes:
    """Make the references of a file absolute.

    References and not one document with all schemas inside: zeep fetches the XML namespace's schema from the W3C unless
    its import says where it is, which an inlined schema cannot. Absolute, because clients join `?xsd=` to a base in
    different ways, and because the WSDL may be read from a copy.
    """
    base = _attribute(address)
    return re.sub(
        rb'schemaLocation="([\w.-]+)"', lambda m: b'schemaLocation="%s?xsd=%s"' % (base, m[1]), schema_file(name)
    )


def _attribute(text: str) -> bytes:
    return escape(text, {'"': "&quot;"}).encode()


@cache
def _folder() -> Path:
    try:
        return Path(str(resources.files("xds.schemas")))
    except ModuleNotFoundError:  # a checkout on the path, not installed
        return Path(__file__).parents[2] / "schemas"


@cache
def _names() -> frozenset[str]:
    return frozenset(file.name for file in _folder().iterdir() if file.suffix in (".xsd", ".wsdl"))


_idle: deque[etree.XMLSchema] = deque()
_compiling = Lock()


@contextmanager
def _compiled() -> Iterator[etree.XMLSchema]:
    """Lend a compiled schema to one thread: the error log is the schema's own, so two must not use one at a time."""
    try:
        schema = _idle.pop()
    except IndexError:
        # By path, not through a resolver: lxml swaps libxml2's loader, which all threads share, around every parse. One
        # at a time: libxml2 makes its table of built-in types at the first call, and does not lock it.
        with _compiling:
            schema = etree.XMLSchema(file=str(_folder() / "body.xsd"))
    try:
        yield schema
    finally:
        _idle.append(schema)


def _violation(el: etree._Element, entry: Any) -> Violation:
    node = _find(el, entry.path or "")
    where, location = _place(node)
    return Violation(_humanize(entry.message), where, location, entry.line)


def _find(el: etree._Element, path: str) -> etree._Element:
    """Follow libxml2's node path, whose steps are `prefix:name[n]`, or `*[n]` where there is no prefix.

    Not by XPath: a prefix may mean different namespaces in different parts of one message.
    """
    node = el
    for step in path.split("/")[2:]:
        name, _, position = step.rstrip("]").partition("[")
        same = (child for child in node.iterchildren(etree.Element) if name in ("*", _written(child)))
        node = next(islice(same, int(position or 1) - 1, None), node)
    return node


def _written(el: etree._Element) -> str:
    local = etree.QName(el).localname
    return f"{el.prefix}:{local}" if el.prefix else local


def _place(node: etree._Element) -> tuple[str, str | None]:
    slot = ""
    for el in (node, *node.iterancestors()):
        if el.tag == SLOT and not slot:
            slot = _clip(f"Slot '{el.get('name')}'", 80)
        if (ident := el.get("id")) is not None:
            owner = _clip(f"{etree.QName(el).localname} '{ident}'", 80)
            return (f"{slot} of {owner}" if slot else owner), ident
    return slot, None


def _humanize(message: str) -> str:
    """Turn libxml2's "Element '{urn:...}Slot', attribute 'name': ..." into "rim:Slot/@name: ..."."""
    text = re.sub(r"\{([^{}]*)\}", lambda ns: f"{PREFIXES[ns[1]]}:" if ns[1] in PREFIXES else ns[0], message)
    text = re.sub(r"^Element '([^']*)'(?:, attribute '([^']*)')?", lambda m: m[1] + (f"/@{m[2]}" if m[2] else ""), text)
    text = re.sub(r"\[facet '\w+'\] ", "", text)
    text = re.sub(r"'([^']{60})[^']{20,}'", r"'\1...'", text)
    return _clip(text.replace("( ", "").replace(" )", ""), MAX_TEXT)


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
