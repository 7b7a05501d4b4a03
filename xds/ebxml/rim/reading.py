"""One ebRIM element while it is decoded, and the values in it: slots, texts, codes, authors (ITI TF-3 4.2.3.1)."""

from __future__ import annotations

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


class Reading:
    """One element while it is being decoded.

    Attributes:
        element: the object's element.
        kind: the object's class.
        report: takes what is wrong.
        sent: its id as sent.
        id: its id as we compare it.
        fields: what was understood, by field of `kind`.
        seen: what may stand once only and was there, other than the fields.
        extra: slots of no row.
    """

    __slots__ = ("element", "extra", "fields", "id", "kind", "report", "seen", "sent")

    def __init__(self, element: Element, kind: type[RegistryObject], report: list[XDSError]) -> None:
        get = element.get
        self.element, self.kind, self.report = element, kind, report
        self.sent = get("id") or ""
        self.id = normal_id(self.sent)
        self.seen: set[str] = set()
        self.extra: list[Slot] = []
        self.fields: dict[str, Any] = {"id": self.id}
        if (lid := get("lid")) is not None:
            self.fields["lid"] = normal_id(lid)
        if (home := get("home")) is not None:
            self.fields["home"] = home
        if (status := _STATUS.get(get("status") or "")) is not None:
            self.fields["status"] = status

    def is_meant(self, reference: str | None) -> bool:
        """Tell whether a part of the object says by this reference that it is one."""
        return normal_id(reference or "") == self.id

    def wrong(self, problem: str) -> None:
        """Report a fault of the shape."""
        context = bounded(f"{self.kind.__name__} {self.id}: {problem}")
        self.report.append(XDSError(ErrorCode.XDSRegistryMetadataError, context, self.id or None))

    def repeated(self, name: str) -> None:
        """Report what may stand once only."""
        self.wrong(f"{name} is given more than once")

    def once(self, name: str) -> bool:
        """Tell whether `name` stands here for the first time, and report it otherwise."""
        if name in self.seen:
            self.repeated(name)
            return False
        self.seen.add(name)
        return True

    def unknown_slot(self, slot: Slot) -> None:
        """Keep extra metadata, report what is neither known nor extra (ITI TF-3 4.2.3.1.6)."""
        if not is_extra(slot.name):
            self.wrong(f"the slot {slot.name!r} is not defined for it; extra metadata has a name that starts with urn:")
        self.extra.append(slot)

    def build(self) -> Any:
        """The object."""
        return self.kind.of({"extra_slots": tuple(self.extra), **self.fields})


def slot_of(element: Element) -> Slot:
    """A rim:Slot that no row knows; its values as sent."""
    values = tuple([value.text or "" for listed in element for value in listed if value.tag == VALUE])
    return Slot(slot_name(element), values, element.get("slotType"))


def is_extra(name: str) -> bool:
    """Tell the name of extra metadata (ITI TF-3 4.2.3.1.6)."""
    return name.startswith("urn:") and not name.startswith("urn:ihe:")


def slot_name(element: Element) -> str:
    """The name of a rim:Slot."""
    return (element.get("name") or "").strip(SPACE)


def values_of(element: Element) -> tuple[str, ...]:
    """The values of a rim:Slot without the white space around them."""
    if len(element) == 1 and len(element[0]) == 1:  # nearly all have one, and a place costs a third of a loop
        value = element[0][0]
        return ((value.text or "").strip(SPACE),) if value.tag == VALUE else ()
    return tuple([(value.text or "").strip(SPACE) for listed in element for value in listed if value.tag == VALUE])


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
    get = element.get
    return LocalizedString(get("value") or "", get(XML_LANG), get("charset"))


def children(element: Element, tag: str) -> list[Element]:
    """Its children with this tag: a third of what `iterchildren(tag)` costs."""
    return [child for child in element if child.tag == tag]


def string_of(name: Element) -> Element | None:
    """The first LocalizedString of a Name."""
    if len(name) == 1:
        string = name[0]
        return string if string.tag == LOCALIZED_STRING else None
    return next(iter(children(name, LOCALIZED_STRING)), None)


def name_of(element: Element) -> str | None:
    """The text of the first LocalizedString of its Name."""
    for child in element:
        if child.tag == NAME and (string := string_of(child)) is not None:
            return string.get("value") or ""
    return None


def code_of(obj: Reading, name: str, element: Element) -> Code:
    """A coded attribute (ITI TF-3 4.2.3.1.3)."""
    value, scheme = (element.get("nodeRepresentation") or "").strip(SPACE), ""
    display: LocalizedString | None = None
    for child in element:
        tag = child.tag
        if tag == SLOT:
            scheme = _coding_scheme(obj, name, child, scheme)
        elif tag == NAME and display is None and (string := string_of(child)) is not None:
            display = localized(string)
    if not value:
        obj.wrong(f"{name}: nodeRepresentation (the code) is missing or empty")
    if not scheme:
        obj.wrong(f"{name}: the slot codingScheme is missing or empty")
    if display is None or not display.value.strip(SPACE):
        obj.wrong(f"{name}: the code {value!r} has no Name (its display name)")
    return Code(value, scheme, display, id_of(element))


def _coding_scheme(obj: Reading, name: str, element: Element, known: str) -> str:
    """The coding scheme after a slot of a coded attribute; `known` is that of the slots before."""
    if element.get("name") != "codingScheme" and (slot := slot_name(element)) != "codingScheme":
        obj.wrong(f"{name}: the slot {slot!r} is not defined for a coded attribute")
        return known
    values = values_of(element)
    if known or len(values) != 1:
        obj.wrong(f"{name}: the slot codingScheme must stand once with one value, found {len(values)}")
    return known or (values[0] if values else "")  # the first, so that no rule takes it for missing


def id_of(part: Element) -> str | None:
    """The id of a Classification or ExternalIdentifier, if it has one."""
    id_ = part.get("id")
    return (normal_id(id_) or None) if id_ else None


def author_of(obj: Reading, name: str, element: Element) -> Author:
    """An author (ITI TF-3 4.2.3.1.4)."""
    fields: dict[str, Any] = {}
    extra: list[Slot] = []
    for child in element:
        if child.tag == SLOT:
            _author_slot(obj, name, child, fields, extra)
    node = element.get("nodeRepresentation")
    if node is None or node.strip(SPACE):
        found = "no nodeRepresentation" if node is None else f"the nodeRepresentation {node!r}"
        obj.wrong(f"{name}: the author's Classification has {found}; it must be present and empty")
    return Author(**fields, extra_slots=tuple(extra), id=id_of(element))


def _author_slot(obj: Reading, name: str, element: Element, fields: dict[str, Any], extra: list[Slot]) -> None:
    slot = slot_name(element)
    known = AUTHOR_SLOTS.get(slot)
    if known is None:
        if not is_extra(slot):
            obj.wrong(f"{name}: the slot {slot!r} is not defined for an author")
        extra.append(slot_of(element))
        return
    field, _datatype, many = known
    if field in fields:
        obj.wrong(f"{name}: the slot {slot} is given more than once")
        return
    values = values_of(element)
    if many:
        fields[field] = values
        return
    if len(values) > 1:
        obj.wrong(f"{name}: the slot {slot} has {len(values)} values instead of one")
    if values:  # the first, so that no rule takes it for missing
        fields[field] = values[0]
