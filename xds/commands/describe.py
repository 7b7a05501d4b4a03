"""DocumentEntries as people and machines read them.

The JSON of `xds query --json` is a form others rely on: an object with the standard's attribute names, in the order of
`attributes.TABLE`; what an entry lacks is left out.

    "entryUUID", "logicalID", "version", "availabilityStatus", "homeCommunityId"   texts
    "creationTime", "uniqueId", "title", "mimeType", "size" ...                    texts, as on the wire
    "typeCode" ...               {"code", "codingScheme", "display"}, or a list of them where there can be several
    "author"                     list of {"authorPerson": text, "authorInstitution": [texts] ...}
"""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from xds.metadata.attributes import AUTHOR_SLOTS, OF
from xds.metadata.hl7 import XON
from xds.metadata.model import Author, Code, DocumentEntry, Identifier, LocalizedString
from xds.metadata.vocabulary import AvailabilityStatus


def as_json(entry: DocumentEntry) -> dict[str, Any]:
    """One entry for machines."""
    head = {
        "entryUUID": entry.id,
        "logicalID": entry.lid,
        "version": entry.version,
        "availabilityStatus": status(entry),
        "homeCommunityId": entry.home,
    }
    attributes = {row.name: _json(getattr(entry, row.field)) for row in OF[DocumentEntry]}
    return {name: value for name, value in (head | attributes).items() if value not in (None, [], "")}


def _json(value: Any) -> Any:
    match value:
        case tuple():
            return [_json(each) for each in value]
        case Code():
            return {
                "code": value.code,
                "codingScheme": value.scheme,
                "display": value.display.value if value.display else None,
            }
        case LocalizedString() | Identifier():
            return value.value
        case Author():
            slots = {name: _json(getattr(value, field)) for name, (field, _, _) in AUTHOR_SLOTS.items()}
            return {name: slot for name, slot in slots.items() if slot}
        case _:
            return value


def status(entry: DocumentEntry) -> str:
    """Approved or Deprecated."""
    return "Deprecated" if entry.status is AvailabilityStatus.DEPRECATED else "Approved"


def table(entries: list[DocumentEntry]) -> Table:
    """Entries for people, a row each."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for name, options in (
        ("created", {"no_wrap": True}),
        ("type", {}),
        ("title", {}),
        ("by", {}),
        ("status", {"no_wrap": True}),
        ("bytes", {"justify": "right", "no_wrap": True}),
        ("unique id", {"overflow": "fold"}),
    ):
        shown.add_column(name, **options)
    for entry in entries:
        shown.add_row(*map(Text, _cells(entry)))
    return shown


def _cells(entry: DocumentEntry) -> tuple[str, ...]:
    return (
        day(entry.creation_time),
        _display(entry.type_code),
        entry.title.value if entry.title else "",
        _institution(entry),
        status(entry),
        entry.size or "",
        entry.unique_id.value if entry.unique_id else "",
    )


def day(dtm: str | None) -> str:
    """A DTM as `2026-01-31 14:05`, as far as it goes."""
    text = dtm or ""
    date = "-".join(filter(None, (text[:4], text[4:6], text[6:8])))
    clock = ":".join(filter(None, (text[8:10], text[10:12])))
    return f"{date} {clock}".strip()


def _display(code: Code | None) -> str:
    if code is None:
        return ""
    return code.display.value if code.display else code.code


def _institution(entry: DocumentEntry) -> str:
    names = (XON.parse(text).name for author in entry.author for text in author.institutions)
    return next(names, "")
