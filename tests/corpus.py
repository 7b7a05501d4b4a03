"""The message corpus of tests/data/corpus: whole HTTP requests made from a few base messages and tables of changes.

`cases()` yields every case with the octets and the headers a peer would send; tests/data/corpus/README.md tells how a
row of the tables is written.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from xds.errors import Status
from xds.metadata.vocabulary import LCM, QUERY, RIM, RS, XDSB
from xds.queries.table import BY_ID, TABLE
from xds.transactions import ITI_41, TRANSACTIONS, Transaction

DIRECTORY = Path(__file__).parent / "data" / "corpus"
TABLES = ("submissions", "packaging", "queries", "retrievals", "answers")
PREFIXES = {"rim": RIM, "rs": RS, "lcm": LCM, "query": QUERY, "xds": XDSB}
BOUNDARY = "MIME_boundary-7e1f"
ROOT_ID = "root@example.org"
KEYS = frozenset(
    {"name", "message", "query", "slots", "returns", "home", "edit", "xml", "soap", "transaction"}
    | {"http", "mime", "parts", "plain", "pieces", "after"}
    | {"status", "codes", "context", "objects", "fault", "http_status", "alone", "alone_codes", "rules"}
)

_STATUS = {"Success": Status.SUCCESS, "PartialSuccess": Status.PARTIAL, "Failure": Status.FAILURE}
_BY_REQUEST = {row.request: row for row in reversed(TRANSACTIONS)}  # the first one with a body has it
_BY_NUMBER = {row.number: row for row in TRANSACTIONS}


@dataclass(frozen=True)
class Case:
    """One message and what must be answered.

    Attributes:
        name: unique in the corpus.
        transaction: whose endpoint it goes to; None for an answer, which only the validator sees.
        headers: HTTP header of the request.
        body: HTTP body.
        pieces: octets the server gets at a time; None for as many as it asks.
        after: names of cases that were sent before, with success.
        status: of the response; None if a fault is expected.
        codes: error codes of the response, each as often as it must stand; or those the validator finds in an answer.
        context: fragments, each in some codeContext or in the fault's reason.
        fault: SOAP fault code and, behind a slash, the innermost subcode.
        http_status: of the answer.
        alone: codes the validator finds, which knows no registry; a set.
        objects: number of objects the query returns; None if it is no matter.
        rules: rows of the conformance page it shows.
        query: name of the stored query and the parameters it gives; empty for other transactions.
    """

    name: str
    transaction: Transaction | None
    headers: Mapping[str, str]
    body: bytes
    pieces: int | None = None
    after: tuple[str, ...] = ()
    status: Status | None = Status.SUCCESS
    codes: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    fault: str | None = None
    http_status: int = 200
    alone: frozenset[str] = frozenset()
    objects: int | None = None
    rules: tuple[str, ...] = ()
    query: tuple[str, ...] = field(default=())

    @property
    def is_good(self) -> bool:
        """Whether it is accepted."""
        return self.status is Status.SUCCESS

    @property
    def capture(self) -> bytes:
        """The message as a file with its HTTP header."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"POST / HTTP/1.1\r\n{head}\r\n".encode() + self.body


@cache
def cases() -> tuple[Case, ...]:
    """The whole corpus, in the order of the tables.

    Raises:
        ValueError: a row cannot be understood, or a change changes nothing; the text names the row.
    """
    made = tuple(case for table in TABLES for case in _read(table))
    names = [case.name for case in made]
    doubles = {name for name in names if names.count(name) > 1}
    unknown = {name for case in made for name in case.after} - set(names)
    if doubles or unknown:
        raise ValueError(f"names used twice: {sorted(doubles)}; names in 'after' that no case has: {sorted(unknown)}")
    return made


def case(name: str) -> Case:
    """One case by name."""
    return next(each for each in cases() if each.name == name)


def _read(table: str) -> Iterator[Case]:
    rows = tomllib.loads((DIRECTORY / f"{table}.toml").read_text(encoding="utf-8"))["case"]
    for row in rows:
        try:
            yield _case(row)
        except (ValueError, KeyError, StopIteration, etree.XMLSyntaxError) as error:
            raise ValueError(f"{table}.toml, case {row.get('name')!r}: {error!r}") from error


def _case(row: Mapping[str, Any]) -> Case:
    if unknown := row.keys() - KEYS:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    tree = _query(row) if "query" in row else _message(row)
    for edit in row.get("edit", ()):
        _change(tree, *edit)
    body = _text(etree.tostring(tree, encoding="unicode"), row.get("xml", ()))
    transaction = _BY_NUMBER.get(_number(row)) or _BY_REQUEST.get(str(tree.tag))
    headers, octets = _packed(row, transaction, body)
    return _expecting(row, transaction, headers, octets)


def _number(row: Mapping[str, Any]) -> str:
    """The transaction a row names, or that of the stored query it names."""
    by_query = {stored.name: stored.transaction for stored in TABLE}
    return row.get("transaction") or by_query.get(row.get("query", ""), "")


def _expecting(
    row: Mapping[str, Any], transaction: Transaction | None, headers: Mapping[str, str], octets: bytes
) -> Case:
    codes = tuple(row.get("codes", ()))
    fault = row.get("fault")
    status = None if fault else _STATUS[row.get("status", "Failure" if codes else "Success")]
    alone = {_found(fault)} if fault else set(codes)
    return Case(
        name=row["name"],
        transaction=transaction,
        headers=headers,
        body=octets,
        pieces=row.get("pieces"),
        after=tuple(row.get("after", ())),
        status=status,
        codes=codes,
        context=tuple(row.get("context", ())),
        fault=fault,
        http_status=row.get("http_status", 400 if fault else 200),
        alone=frozenset(row.get("alone_codes", alone)) if row.get("alone", True) else frozenset(),
        objects=row.get("objects"),
        rules=tuple(row.get("rules", ())),
        query=(row["query"], *(slot[0] for slot in row.get("slots", ()))) if "query" in row else (),
    )


def _found(fault: str) -> str:
    """How the validator writes a fault: code and first subcode."""
    return f"soap:{'/'.join(fault.split('/')[:2])}"


# Base messages and changes to them


def _message(row: Mapping[str, Any]) -> etree._Element:
    return etree.parse(DIRECTORY / "messages" / f"{row['message']}.xml").getroot()


def _query(row: Mapping[str, Any]) -> etree._Element:
    ids = {stored.name: stored.id for stored in TABLE}
    slots = "".join(
        f"\n  <rim:Slot name={quoteattr(name)}><rim:ValueList>"
        f"{''.join(f'<rim:Value>{escape(value)}</rim:Value>' for value in values)}</rim:ValueList></rim:Slot>"
        for name, *values in row.get("slots", ())
    )
    home = f" home={quoteattr(row['home'])}" if "home" in row else ""
    return etree.fromstring(
        f'<query:AdhocQueryRequest xmlns:query="{QUERY}" xmlns:rim="{RIM}">\n'
        f' <query:ResponseOption returnComposedObjects="true" returnType="{row.get("returns", "LeafClass")}"/>\n'
        f' <rim:AdhocQuery id="{ids.get(row["query"], row["query"])}"{home}>{slots}\n </rim:AdhocQuery>\n'
        f"</query:AdhocQueryRequest>"
    )


def _select(tree: etree._Element, selector: str) -> list[etree._Element]:
    """`#id`, `#id/slot name`, or an XPath with the prefixes of `PREFIXES`."""
    if selector.startswith("#"):
        id_, _, slot = selector[1:].partition("/")
        path = f'//*[@id="{id_}"]' + (f'/rim:Slot[@name="{slot}"]' if slot else "")
    else:
        path = selector
    found = tree.xpath(path, namespaces=PREFIXES)
    if not found:
        raise ValueError(f"{selector} selects nothing")
    return found


def _fragment(xml: str) -> list[etree._Element]:
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in PREFIXES.items())
    return list(etree.fromstring(f"<all {declared}>{xml}</all>"))


def _change(tree: etree._Element, operation: str, selector: str, *arguments: str) -> None:
    for element in _select(tree, selector):
        _OPERATIONS[operation](element, *arguments)


def _set(element: etree._Element, attribute: str, value: str) -> None:
    element.set(attribute, value)


def _unset(element: etree._Element, attribute: str) -> None:
    if attribute not in element.attrib:
        raise ValueError(f"{element.tag} has no {attribute}")
    del element.attrib[attribute]


def _set_text(element: etree._Element, text: str) -> None:
    element.text = text


def _remove(element: etree._Element) -> None:
    element.getparent().remove(element)


def _slot(element: etree._Element, name: str, *values: str) -> None:
    """Give a slot these values in place of what it had; a new one goes first."""
    for old in element.findall(f"{{{RIM}}}Slot[@name='{name}']"):
        element.remove(old)
    listed = "".join(f"<rim:Value>{escape(value)}</rim:Value>" for value in values)
    element[:0] = _fragment(f"<rim:Slot name={quoteattr(name)}><rim:ValueList>{listed}</rim:ValueList></rim:Slot>")


def _copy(element: etree._Element, suffix: str = "") -> None:
    """Put a copy behind the element; ids inside, and what refers to them inside, get the suffix."""
    made = copy.deepcopy(element)
    ids = {part.get("id") for part in made.iter() if part.get("id")}
    for part in made.iter(etree.Element):
        for name in ("id", "classifiedObject", "registryObject"):
            if part.get(name) in ids:
                part.set(name, part.get(name) + suffix)
    element.addnext(made)


def _insert(element: etree._Element, xml: str) -> None:
    for number, made in enumerate(_fragment(xml)):
        element.insert(number, made)


def _append(element: etree._Element, xml: str) -> None:
    element.extend(_fragment(xml))


def _move_first(element: etree._Element) -> None:
    parent = element.getparent()
    parent.remove(element)
    parent.insert(0, element)


def _repeat(element: etree._Element, attribute: str, text: str, times: str) -> None:
    element.set(attribute, text * int(times))


def _repeat_text(element: etree._Element, text: str, times: str) -> None:
    element.text = text * int(times)


_OPERATIONS: dict[str, Callable[..., None]] = {
    "set": _set,
    "unset": _unset,
    "text": _set_text,
    "remove": _remove,
    "slot": _slot,
    "copy": _copy,
    "insert": _insert,
    "append": _append,
    "first": _move_first,
    "repeat": _repeat,
    "repeat-text": _repeat_text,
}


def _text(xml: str, changes: Sequence[Sequence[str]]) -> str:
    """Changes to the text: `replace old new`, `regex pattern new`, `prefix old new` (an empty one is the default)."""
    for operation, old, new in changes:
        if operation == "replace":
            changed = xml.replace(old, new)
        elif operation == "regex":
            changed = re.sub(old, new, xml)
        elif operation == "prefix":
            changed = re.sub(rf"(</?){old}:", rf"\g<1>{new + ':' if new else ''}", xml)
            changed = changed.replace(f"xmlns:{old}=", f"xmlns:{new}=" if new else "xmlns=")
        else:
            raise ValueError(f"no change of text is called {operation!r}")
        if changed == xml:
            raise ValueError(f"{operation} {old!r} changes nothing")
        xml = changed
    return xml


# Packaging


def _packed(row: Mapping[str, Any], transaction: Transaction | None, body: str) -> tuple[dict[str, str], bytes]:
    if transaction is None:
        envelope = body
    else:
        template = (DIRECTORY / "messages" / "envelope.xml").read_text(encoding="utf-8").strip()
        envelope = template.format(action=transaction.action, actor=transaction.actor, body=body)
    envelope = _text(envelope, row.get("soap", ()))
    as_mime = "mime" in row or "parts" in row or (transaction is ITI_41 and not row.get("plain"))
    headers, octets = _mime(row, envelope) if as_mime else (_PLAIN, envelope.encode())
    headers = {**headers, **row.get("http", {})}
    return {name: value for name, value in headers.items() if value}, octets


_PLAIN = {"Content-Type": "application/soap+xml; charset=UTF-8"}
_MIME = {
    "content_type": 'multipart/related; boundary="{boundary}"; type="application/xop+xml"; start="<{root}>"; '
    'start-info="application/soap+xml"',
    "root": [
        'Content-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"',
        "Content-Transfer-Encoding: binary",
        "Content-ID: <{root}>",
    ],
    "at": 0,
    "boundary": BOUNDARY,
    "preamble": "",
    "end": "--",
}
_HELLO = {"id": "hello@example.org", "content": "hello"}


def _mime(row: Mapping[str, Any], envelope: str) -> tuple[dict[str, str], bytes]:
    """A multipart/related message, written by hand so that the odd ones can be written too."""
    mime = {**_MIME, **row.get("mime", {})}
    parts = [_part(part) for part in row.get("parts", [_HELLO])]
    root = "\r\n".join(mime["root"]).format(root=ROOT_ID) + f"\r\n\r\n{envelope}"
    parts.insert(mime["at"], root)
    boundary = f"--{mime['boundary']}"
    text = mime["preamble"] + "".join(f"{boundary}\r\n{part}\r\n" for part in parts) + boundary + mime["end"] + "\r\n"
    content_type = mime["content_type"].format(boundary=mime["boundary"], root=ROOT_ID)
    return {"Content-Type": content_type}, text.encode()


def _part(part: Mapping[str, Any]) -> str:
    headers = part.get("headers", ["Content-Type: text/plain", "Content-Transfer-Encoding: binary"])
    content_id = [f"Content-ID: <{part['id']}>"] if "id" in part else []
    return "\r\n".join((*content_id, *headers)) + f"\r\n\r\n{part['content']}"


def body_of(envelope: bytes) -> etree._Element:
    """The body element of an envelope."""
    return etree.fromstring(envelope).find("{*}Body/*")


def plain(transaction: Transaction, envelope: bytes) -> Case:
    """A request in plain SOAP that is in no table."""
    return Case("", transaction, _PLAIN, envelope)


def parameters_shown() -> dict[tuple[str, str], list[str]]:
    """Which cases give which parameter of which stored query, by the names of both."""
    shown: dict[tuple[str, str], list[str]] = {}
    names = {stored.name for stored in BY_ID.values()}
    for each in cases():
        if each.query and each.query[0] in names and each.is_good:
            for parameter in each.query[1:]:
                shown.setdefault((each.query[0], parameter), []).append(each.name)
    return shown
