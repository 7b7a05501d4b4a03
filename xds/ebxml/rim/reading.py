"""One ebRIM element while it is decoded, and the values in it: slots, texts, codes, authors (ITI TF-3 4.2.3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xds.ebxml.rim.names import LOCALIZED_STRING, NAME, SLOT, SPACE, VALUE, XML_LANG, normal_id
from xds.ebxml.xml import Element
from xds.errors import Code as ErrorCode
from xds.errors import XDSError
from xds.metadata.attributes import AUTHOR_SLOTS
from xds.metadata.model import Author, Code, LocalizedString, RegistryObject, Slot
from xds.metadata.rules.message import bounded
from xds.metadata.vocabulary import AvailabilityStatus

_STATUS = {str(status): status for status in AvailabilityStatus}


@dataclass(slots=True)
class Reading:
    """One element while it is being decoded: its id, what was understood, what was wrong."""

    element: Element
    kind: type[RegistryObject]
    report: list[XDSError]
    sent: str = field(init=False)
    id: str = field(init=False)
    fields: dict[str, Any] = field(init=False)
    seen: set[str] = field(init=False, default_factory=set)
    extra: list[Slot] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        get = self.element.get
        self.sent = get("id") or ""
        self.id = normal_id(self.sent)
        self.fields = {"id": self.id}
        if (lid := get("lid")) is not None:
            self.fields["lid"] = normal_id(lid)
        if (home := get("home")) is not None:
            self.fields["home"] = home
        if (status := _STATUS.get(get("status") or "")) is not None:
            self.fields["status"] = status

    def is_meant(self, reference: str | None) -> bool:
        """Tell whether a part of the object says by this reference that it is one."""
        return reference == self.sent or normal_id(reference or "") == self.id

    def wrong(self, problem: str) -> None:
        """Report a fault of the shape."""
        context = bounded(f"{self.kind.__name__} {self.id}: {problem}")
        self.report.append(XDSError(ErrorCode.XDSRegistryMetadataError, context, self.id or None))

    def once(self, name: str) -> bool:
        """Tell whether `name` stands here for the first time, and report it otherwise."""
        if name in self.seen:
            self.wrong(f"{name} is given more than once")
            return False
        self.seen.add(name)
        return True

    def unknown_slot(self, slot: Slot) -> None:
        """Keep extra metadata, report what is neither known nor extra (ITI TF-3 4.2.3.1.6)."""
        if not slot.name.startswith("urn:") or slot.name.startswith("urn:ihe:"):
            self.wrong(f"the slot {slot.name!r} is not defined for it; extra metadata has a name that starts with urn:")
        self.extra.append(slot)

    def build(self) -> Any:
        """The object."""
        return self.kind(extra_slots=tuple(self.extra), **self.fields)


def slot_of(element: Element) -> Slot:
    """A rim:Slot; its values as sent."""
    values = tuple([value.text or "" for listed in element for value in listed if value.tag == VALUE])
    return Slot((element.get("name") or "").strip(SPACE), values, element.get("slotType"))


def read_text(obj: Reading, element: Element) -> None:
    """Name is the title, Description the comments; at most one LocalizedString each."""
    name = "title" if element.tag == NAME else "comments"
    if not obj.once(name):
        return
    strings = children(element, LOCALIZED_STRING)
    if len(strings) > 1:
        obj.wrong(f"{name} has {len(strings)} LocalizedStrings instead of one")
    if strings:
        obj.fields[name] = localized(strings[0])


def localized(element: Element) -> LocalizedString:
    """A rim:LocalizedString."""
    return LocalizedString(element.get("value") or "", element.get(XML_LANG), element.get("charset"))


def children(element: Element, tag: str) -> list[Element]:
    """Its children with this tag: a third of what `iterchildren(tag)` costs."""
    return [child for child in element if child.tag == tag]


def name_of(element: Element) -> LocalizedString | None:
    """The first LocalizedString of its Name."""
    for name in children(element, NAME):
        for string in children(name, LOCALIZED_STRING):
            return localized(string)
    return None


def code_of(obj: Reading, name: str, element: Element) -> Code:
    """A coded attribute (ITI TF-3 4.2.3.1.3)."""
    value, scheme = (element.get("nodeRepresentation") or "").strip(SPACE), ""
    for slot in map(slot_of, children(element, SLOT)):
        if slot.name != "codingScheme":
            obj.wrong(f"{name}: the slot {slot.name!r} is not defined for a coded attribute")
            continue
        if scheme or len(slot.values) != 1:
            obj.wrong(f"{name}: the slot codingScheme must stand once with one value, found {len(slot.values)}")
        if slot.values:  # the first, so that no rule takes it for missing
            scheme = scheme or slot.values[0].strip(SPACE)
    display = name_of(element)
    for found, what in ((value, "nodeRepresentation (the code)"), (scheme, "the slot codingScheme")):
        if not found:
            obj.wrong(f"{name}: {what} is missing or empty")
    if display is None or not display.value.strip(SPACE):
        obj.wrong(f"{name}: the code {value!r} has no Name (its display name)")
    return Code(value, scheme, display, normal_id(element.get("id") or "") or None)


def author_of(obj: Reading, name: str, element: Element) -> Author:
    """An author (ITI TF-3 4.2.3.1.4)."""
    fields: dict[str, Any] = {}
    extra: list[Slot] = []
    for slot in map(slot_of, children(element, SLOT)):
        known = AUTHOR_SLOTS.get(slot.name)
        values = tuple(value.strip(SPACE) for value in slot.values)
        if known is None:
            if not slot.name.startswith("urn:") or slot.name.startswith("urn:ihe:"):
                obj.wrong(f"{name}: the slot {slot.name!r} is not defined for an author")
            extra.append(slot)
        elif known[0] in fields:
            obj.wrong(f"{name}: the slot {slot.name} is given more than once")
        elif known[2]:
            fields[known[0]] = values
        else:
            if len(values) > 1:
                obj.wrong(f"{name}: the slot {slot.name} has {len(values)} values instead of one")
            if values:  # the first, so that no rule takes it for missing
                fields[known[0]] = values[0]
    node = element.get("nodeRepresentation")
    if node is None or node.strip(SPACE):
        found = "no nodeRepresentation" if node is None else f"the nodeRepresentation {node!r}"
        obj.wrong(f"{name}: the author's Classification has {found}; it must be present and empty")
    return Author(**fields, extra_slots=tuple(extra), id=normal_id(element.get("id") or "") or None)
