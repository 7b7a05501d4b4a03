"""Registry objects <-> ebRIM 3.0 elements, driven by `attributes.TABLE` (ITI TF-3 4.2.3.1; `rim.xsd`).

Decoding takes any prefix and any order and never stops at a fault: it returns what it understood and yields what is
wrong with the *shape*; what is wrong with the *values* is for `metadata.rules`. Encoding writes the one form in which
we serve
objects: prefix `rim` (declared by the list around them), no white space, children in the schema's order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from xds.ebxml.xml import Element, parse, quoted, text
from xds.errors import Code as ErrorCode
from xds.errors import XDSError
from xds.metadata.attributes import AUTHOR_SLOTS, OF, Attribute, Carrier
from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    Identifier,
    LocalizedString,
    PatientObject,
    RegistryObject,
    Slot,
    Submission,
    SubmissionSet,
)
from xds.metadata.rules.message import bounded
from xds.metadata.vocabulary import (
    ASSOCIATION_DOCUMENTATION_SCHEME,
    ASSOCIATION_TYPE,
    CLASSIFICATION_TYPE,
    EXTERNAL_IDENTIFIER_TYPE,
    FOLDER_NODE,
    LIMITED_METADATA_NODES,
    REGISTRY_PACKAGE_TYPE,
    RIM,
    SUBMISSION_SET_NODE,
    AvailabilityStatus,
)

SLOT, NAME, DESCRIPTION = f"{{{RIM}}}Slot", f"{{{RIM}}}Name", f"{{{RIM}}}Description"
CLASSIFICATION, EXTERNAL_IDENTIFIER = f"{{{RIM}}}Classification", f"{{{RIM}}}ExternalIdentifier"
EXTRINSIC_OBJECT, REGISTRY_PACKAGE = f"{{{RIM}}}ExtrinsicObject", f"{{{RIM}}}RegistryPackage"
ASSOCIATION, OBJECT_REF = f"{{{RIM}}}Association", f"{{{RIM}}}ObjectRef"
REGISTRY_OBJECT_LIST, VERSION_INFO = f"{{{RIM}}}RegistryObjectList", f"{{{RIM}}}VersionInfo"
VALUE, LOCALIZED_STRING = f"{{{RIM}}}Value", f"{{{RIM}}}LocalizedString"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
SPACE = " \t\r\n"
"""White space of XML around a value, which is not part of it; a no-break or ideographic space is."""
_OBJECTS = frozenset({EXTRINSIC_OBJECT, REGISTRY_PACKAGE, ASSOCIATION})

_BY_KEY: dict[type[PatientObject], dict[tuple[Carrier, str], Attribute]] = {
    kind: {(row.carrier, row.key): row for row in rows} for kind, rows in OF.items()
}
_STATUS = {str(status): status for status in AvailabilityStatus}


def normal_id(value: str) -> str:
    """An id as we compare and store it: UUIDs in lower case, symbolic ids as sent (ITI TF-3 4.2.3.1.5)."""
    value = value.strip(SPACE)
    return value.lower() if value[:9].lower() == "urn:uuid:" else value


@dataclass(slots=True)
class _Object:
    """One element while it is being decoded: its id, what was understood, what was wrong."""

    element: Element
    kind: type[RegistryObject]
    report: list[XDSError]
    id: str = field(init=False)
    fields: dict[str, Any] = field(init=False)
    seen: set[str] = field(init=False, default_factory=set)
    extra: list[Slot] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        get = self.element.get
        self.id = normal_id(get("id") or "")
        self.fields = {"id": self.id}
        if (lid := get("lid")) is not None:
            self.fields["lid"] = normal_id(lid)
        if (home := get("home")) is not None:
            self.fields["home"] = home
        if (status := _STATUS.get(get("status") or "")) is not None:
            self.fields["status"] = status

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


# Decoding


def decode_submission(request: Element) -> tuple[Submission, list[XDSError]]:
    """Decode the RegistryObjectList of a SubmitObjectsRequest (ITI TF-2 3.42.4.1.2).

    Args:
        request: the lcm:SubmitObjectsRequest element.

    Returns:
        What was understood, and the faults of its shape (XDSRegistryMetadataError each).
    """
    objects = request.find(REGISTRY_OBJECT_LIST)
    return decode_list(objects if objects is not None else ())


def decode_list(elements: Element | tuple[()]) -> tuple[Submission, list[XDSError]]:
    """Decode the children of a RegistryObjectList, as sent or as served.

    Returns:
        The objects in the order found, and the faults of their shape.
    """
    report: list[XDSError] = []
    children = [element for element in elements if isinstance(element.tag, str)]  # not comments
    siblings = _siblings(children)
    found: dict[type[RegistryObject], list[Any]] = {
        kind: [] for kind in (DocumentEntry, SubmissionSet, Folder, Association)
    }
    for element in children:
        beside = siblings.pop(normal_id(element.get("id") or ""), []) if element.tag in _OBJECTS else []
        if element.tag == EXTRINSIC_OBJECT:
            found[DocumentEntry].append(_decode_entry(element, beside, report))
        elif element.tag == REGISTRY_PACKAGE:
            package = _decode_package(element, beside, report)
            if package is not None:
                found[type(package)].append(package)
        elif element.tag == ASSOCIATION:
            found[Association].append(_decode_association(element, beside, report))
        elif element.tag not in (CLASSIFICATION, OBJECT_REF):
            report.append(
                XDSError(
                    ErrorCode.XDSRegistryMetadataError,
                    f"a RegistryObjectList holds no {element.tag.rpartition('}')[2]}",
                    element.get("id"),
                ),
            )
    report.extend(_unresolved(node) for nodes in siblings.values() for node in nodes)
    submission = Submission(
        submission_sets=tuple(found[SubmissionSet]),
        entries=tuple(found[DocumentEntry]),
        folders=tuple(found[Folder]),
        associations=tuple(found[Association]),
    )
    return submission, report


def decode_served(body: bytes) -> RegistryObject:
    """Decode one object as this registry, or another one, serves it (`ServedObject.body`).

    Raises:
        ValueError: if it is no DocumentEntry, SubmissionSet, Folder or Association.
    """
    submission, _ = decode_list(
        parse(b'<rim:RegistryObjectList xmlns:rim="%b">%b</rim:RegistryObjectList>' % (RIM.encode(), body))
    )
    for obj in submission.objects:
        return obj
    raise ValueError("no registry object of XDS")


def _siblings(elements: list[Element]) -> dict[str, list[Element]]:
    """Classifications that stand beside the object they classify, by its id."""
    found: dict[str, list[Element]] = {}
    for element in elements:
        if element.tag == CLASSIFICATION:
            found.setdefault(normal_id(element.get("classifiedObject") or ""), []).append(element)
    return found


def _unresolved(classification: Element) -> XDSError:
    id_, parent = classification.get("id"), classification.get("classifiedObject")
    problem = f"Classification {id_}: classifiedObject {parent!r} is no object of the message"
    return XDSError(ErrorCode.UnresolvedReferenceException, bounded(problem), id_)


def _decode_entry(element: Element, siblings: list[Element], report: list[XDSError]) -> DocumentEntry:
    obj = _Object(element, DocumentEntry, report)
    get = element.get
    obj.fields["object_type"] = normal_id(get("objectType") or "")
    obj.fields["mime_type"] = (get("mimeType") or "").strip(SPACE) or None
    obj.fields["is_opaque"] = get("isOpaque")
    _decode_children(obj, DocumentEntry, siblings)
    return obj.build()  # type: ignore[no-any-return]


def _decode_package(element: Element, siblings: list[Element], report: list[XDSError]) -> SubmissionSet | Folder | None:
    kinds = {
        normal_id(node.get("classificationNode") or "")
        for node in itertools.chain(element.iterchildren(CLASSIFICATION), siblings)
    }
    is_set, is_folder = SUBMISSION_SET_NODE in kinds, FOLDER_NODE in kinds
    if is_set == is_folder:
        what = "both SubmissionSet and Folder" if is_set else "neither SubmissionSet nor Folder"
        report.append(
            XDSError(
                ErrorCode.XDSRegistryMetadataError,
                f"RegistryPackage {element.get('id')}: its Classification says {what}",
                element.get("id"),
            ),
        )
        return None
    kind: type[SubmissionSet | Folder] = SubmissionSet if is_set else Folder
    obj = _Object(element, kind, report)
    _decode_children(obj, kind, siblings)
    return obj.build()  # type: ignore[no-any-return]


def _decode_association(element: Element, siblings: list[Element], report: list[XDSError]) -> Association:
    obj = _Object(element, Association, report)
    get = element.get
    obj.fields["type"] = (get("associationType") or "").strip(SPACE)
    obj.fields["source"] = normal_id(get("sourceObject") or "")
    obj.fields["target"] = normal_id(get("targetObject") or "")
    for child in itertools.chain(element.iterchildren(), siblings):
        match child.tag:
            case t if t == SLOT:
                _association_slot(obj, child)
            case t if t == CLASSIFICATION:
                _association_documentation(obj, child)
            case t if t in (NAME, DESCRIPTION):
                _text(obj, child)
            case t if t == VERSION_INFO:
                obj.fields["version"] = child.get("versionName")
            case t if t == EXTERNAL_IDENTIFIER:
                obj.wrong(f"an association has no ExternalIdentifier, found {child.get('identificationScheme')!r}")
    return obj.build()  # type: ignore[no-any-return]


def _association_slot(obj: _Object, element: Element) -> None:
    slot = _slot(element)
    if not obj.once(f"slot {slot.name}"):
        return
    if slot.name != "SubmissionSetStatus":
        obj.unknown_slot(slot)
    else:
        if len(slot.values) != 1:
            obj.wrong(f"the slot SubmissionSetStatus has {len(slot.values)} values instead of one")
        if slot.values:  # the first, so that no rule takes it for missing
            obj.fields["submission_set_status"] = slot.values[0].strip(SPACE)


def _association_documentation(obj: _Object, element: Element) -> None:
    scheme = normal_id(element.get("classificationScheme") or "")
    if scheme != ASSOCIATION_DOCUMENTATION_SCHEME:
        obj.wrong(f"an association has no Classification with the scheme {scheme!r}")
    elif obj.once("association documentation"):
        obj.fields["documentation"] = _code(obj, "association documentation", element)


def _decode_children(obj: _Object, kind: type[PatientObject], siblings: list[Element]) -> None:
    rows = _BY_KEY[kind]
    for child in obj.element.iterchildren():
        decode = _CHILDREN.get(child.tag)
        if decode is not None:
            decode(obj, child, rows)
    for node in siblings:
        _decode_classification(obj, node, rows)


def _decode_slot(obj: _Object, element: Element, rows: dict[tuple[Carrier, str], Attribute]) -> None:
    slot = _slot(element)
    row = rows.get((Carrier.SLOT, slot.name))
    if not obj.once(f"slot {slot.name}"):
        return
    if row is None:
        obj.unknown_slot(slot)
        return
    values = tuple(value.strip(SPACE) for value in slot.values)
    if row.many:
        obj.fields[row.field] = values
        return
    if len(values) > 1:
        obj.wrong(f"{row.name} has {len(values)} values instead of one: {', '.join(values)[:200]}")
    if values:  # the first, so that no rule takes it for missing
        obj.fields[row.field] = values[0]


def _decode_classification(obj: _Object, element: Element, rows: dict[tuple[Carrier, str], Attribute]) -> None:
    if normal_id(element.get("classifiedObject") or "") != obj.id:
        obj.wrong(
            f"the Classification {element.get('id')} in it has classifiedObject={element.get('classifiedObject')!r} "
            f"instead of its id",
        )
    node = normal_id(element.get("classificationNode") or "")
    if node:
        _decode_node(obj, node, element)
        return
    scheme = normal_id(element.get("classificationScheme") or "")
    row = rows.get((Carrier.CLASSIFICATION, scheme)) or rows.get((Carrier.AUTHOR, scheme))
    if row is None:
        obj.wrong(f"a Classification with the scheme {scheme!r} is not defined for it")
    elif row.many:
        value = (_author if row.carrier is Carrier.AUTHOR else _code)(obj, row.name, element)
        obj.fields[row.field] = (*obj.fields.get(row.field, ()), value)
    elif obj.once(row.name):
        obj.fields[row.field] = _code(obj, row.name, element)


def _decode_node(obj: _Object, node: str, element: Element) -> None:
    if node in LIMITED_METADATA_NODES:
        obj.fields["limited_metadata"] = True
    elif node in (SUBMISSION_SET_NODE, FOLDER_NODE) and obj.kind is not DocumentEntry:
        if obj.once("the Classification that says what it is"):
            obj.fields["node_id"] = normal_id(element.get("id") or "") or None
    else:
        obj.wrong(f"a Classification with the node {node!r} is not defined for it")


def _decode_identifier(obj: _Object, element: Element, rows: dict[tuple[Carrier, str], Attribute]) -> None:
    scheme = normal_id(element.get("identificationScheme") or "")
    row = rows.get((Carrier.EXTERNAL_IDENTIFIER, scheme))
    if row is None:
        obj.wrong(f"an ExternalIdentifier with the scheme {scheme!r} is not defined for it")
        return
    if normal_id(element.get("registryObject") or "") != obj.id:
        obj.wrong(
            f"the ExternalIdentifier {row.name} has registryObject={element.get('registryObject')!r} instead of its id"
        )
    name = _first_string(element, NAME)
    if name is None or name.value != row.external_name:
        obj.wrong(
            f"the ExternalIdentifier {row.name} has the Name {name.value if name else None!r} "
            f"instead of {row.external_name!r}"
        )
    if obj.once(row.name):
        part = normal_id(element.get("id") or "") or None
        obj.fields[row.field] = Identifier((element.get("value") or "").strip(SPACE), part)


def _decode_text(obj: _Object, element: Element, _rows: dict[tuple[Carrier, str], Attribute]) -> None:
    _text(obj, element)


def _decode_version(obj: _Object, element: Element, _rows: dict[tuple[Carrier, str], Attribute]) -> None:
    obj.fields["version"] = element.get("versionName")


_CHILDREN: dict[str, Callable[[_Object, Element, dict[tuple[Carrier, str], Attribute]], None]] = {
    SLOT: _decode_slot,
    NAME: _decode_text,
    DESCRIPTION: _decode_text,
    VERSION_INFO: _decode_version,
    CLASSIFICATION: _decode_classification,
    EXTERNAL_IDENTIFIER: _decode_identifier,
}


def _slot(element: Element) -> Slot:
    values = tuple(value.text or "" for value in element.iter(VALUE))
    return Slot((element.get("name") or "").strip(SPACE), values, element.get("slotType"))


def _text(obj: _Object, element: Element) -> None:
    """Name is the title, Description the comments; at most one LocalizedString each."""
    name = "title" if element.tag == NAME else "comments"
    if not obj.once(name):
        return
    strings = element.findall(LOCALIZED_STRING)
    if len(strings) > 1:
        obj.wrong(f"{name} has {len(strings)} LocalizedStrings instead of one")
    if strings:
        obj.fields[name] = _localized(strings[0])


def _localized(element: Element) -> LocalizedString:
    return LocalizedString(element.get("value") or "", element.get(XML_LANG), element.get("charset"))


def _first_string(element: Element, tag: str) -> LocalizedString | None:
    found = element.find(f"{tag}/{LOCALIZED_STRING}")
    return None if found is None else _localized(found)


def _code(obj: _Object, name: str, element: Element) -> Code:
    value, scheme = (element.get("nodeRepresentation") or "").strip(SPACE), ""
    for slot in map(_slot, element.iterchildren(SLOT)):
        if slot.name != "codingScheme":
            obj.wrong(f"{name}: the slot {slot.name!r} is not defined for a coded attribute")
        elif scheme or len(slot.values) != 1:
            obj.wrong(f"{name}: the slot codingScheme must stand once with one value, found {len(slot.values)}")
        else:
            scheme = slot.values[0].strip(SPACE)
    display = _first_string(element, NAME)
    for found, what in ((value, "nodeRepresentation (the code)"), (scheme, "the slot codingScheme")):
        if not found:
            obj.wrong(f"{name}: {what} is missing or empty")
    if display is None or not display.value.strip(SPACE):
        obj.wrong(f"{name}: the code {value!r} has no Name (its display name)")
    return Code(value, scheme, display, normal_id(element.get("id") or "") or None)


def _author(obj: _Object, name: str, element: Element) -> Author:
    fields: dict[str, Any] = {}
    extra: list[Slot] = []
    for slot in map(_slot, element.iterchildren(SLOT)):
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
        elif len(values) > 1:
            obj.wrong(f"{name}: the slot {slot.name} has {len(values)} values instead of one")
        elif values:
            fields[known[0]] = values[0]
    if element.get("nodeRepresentation") is None:
        obj.wrong(f"{name}: the author's Classification has no nodeRepresentation; it must be present and empty")
    return Author(**fields, extra_slots=tuple(extra), id=normal_id(element.get("id") or "") or None)


# Encoding


def encode(obj: RegistryObject, ids: Iterator[str] | None = None) -> str:
    """Write one object as ebRIM with the prefix `rim`.

    Args:
        obj: DocumentEntry, SubmissionSet, Folder or Association.
        ids: ids for parts that have none; symbolic ones if not given.
    """
    ids = ids or (f"part-{n}" for n in itertools.count(1))
    if isinstance(obj, DocumentEntry):
        opening = f"objectType={quoted(obj.object_type)}"
        if obj.mime_type is not None:
            opening += f" mimeType={quoted(obj.mime_type)}"
        if obj.is_opaque is not None:
            opening += f" isOpaque={quoted(obj.is_opaque)}"
        return _element("ExtrinsicObject", obj, opening, _children(obj, DocumentEntry, ids))
    if isinstance(obj, SubmissionSet | Folder):
        node = SUBMISSION_SET_NODE if isinstance(obj, SubmissionSet) else FOLDER_NODE
        children = _children(obj, type(obj), ids, _node(obj, node, obj.node_id or next(ids)))
        return _element("RegistryPackage", obj, f'objectType="{REGISTRY_PACKAGE_TYPE}"', children)
    if isinstance(obj, Association):
        return _association(obj, ids)
    raise TypeError(obj)


def encode_submission(submission: Submission) -> str:
    """Write a Submission as rim:RegistryObjectList content: entries, SubmissionSet, Folders, Associations."""
    ids = (f"part-{n}" for n in itertools.count(1))
    order = itertools.chain(submission.entries, submission.submission_sets, submission.folders, submission.associations)
    return "".join(encode(obj, ids) for obj in order)


def _element(tag: str, obj: RegistryObject, opening: str, children: str) -> str:
    lid = f" lid={quoted(obj.lid)}" if obj.lid is not None else ""
    home = f" home={quoted(obj.home)}" if obj.home is not None else ""
    status = f' status="{obj.status}"' if obj.status is not None else ""
    return f"<rim:{tag} id={quoted(obj.id)}{lid}{home} {opening}{status}>{children}</rim:{tag}>"


def _children(obj: PatientObject, kind: type[PatientObject], ids: Iterator[str], node: str = "") -> str:
    """The children in the order of `rim.xsd`: slots, texts, version, classifications, identifiers."""
    slots, classifications, identifiers = [], [node], []
    for row in OF[kind]:
        value = getattr(obj, row.field)
        if value is None or value == ():
            continue
        match row.carrier:
            case Carrier.SLOT:
                slots.append(_encode_slot(row.key, value if row.many else (value,)))
            case Carrier.CLASSIFICATION:
                codes = value if row.many else (value,)
                classifications.extend(_encode_code(obj.id, row.key, code, ids) for code in codes)
            case Carrier.AUTHOR:
                classifications.extend(_encode_author(obj.id, row.key, author, ids) for author in value)
            case Carrier.EXTERNAL_IDENTIFIER:
                identifiers.append(_encode_identifier(obj.id, row, value, ids))
    extra = [_encode_slot(slot.name, slot.values, slot.slot_type) for slot in obj.extra_slots]
    return "".join((*slots, *extra, _texts(obj.title, obj.comments, obj.version), *classifications, *identifiers))


def _association(obj: Association, ids: Iterator[str]) -> str:
    opening = (
        f'objectType="{ASSOCIATION_TYPE}" associationType={quoted(obj.type)} '
        f"sourceObject={quoted(obj.source)} targetObject={quoted(obj.target)}"
    )
    slots = [_encode_slot(slot.name, slot.values, slot.slot_type) for slot in obj.extra_slots]
    if obj.submission_set_status is not None:
        slots.insert(0, _encode_slot("SubmissionSetStatus", (obj.submission_set_status,)))
    documentation = ""
    if obj.documentation is not None:
        documentation = _encode_code(obj.id, ASSOCIATION_DOCUMENTATION_SCHEME, obj.documentation, ids)
    children = "".join((*slots, _texts(obj.title, obj.comments, obj.version), documentation))
    return _element("Association", obj, opening, children)


def _encode_slot(name: str, values: tuple[str, ...], slot_type: str | None = None) -> str:
    kind = f" slotType={quoted(slot_type)}" if slot_type is not None else ""
    listed = "".join([f"<rim:Value>{text(value)}</rim:Value>" for value in values])
    return f"<rim:Slot name={quoted(name)}{kind}><rim:ValueList>{listed}</rim:ValueList></rim:Slot>"


def _texts(title: LocalizedString | None, comments: LocalizedString | None, version: str | None) -> str:
    name = f"<rim:Name>{_encode_localized(title)}</rim:Name>" if title is not None else ""
    description = f"<rim:Description>{_encode_localized(comments)}</rim:Description>" if comments is not None else ""
    info = f"<rim:VersionInfo versionName={quoted(version)}/>" if version is not None else ""
    return name + description + info


def _encode_localized(string: LocalizedString) -> str:
    lang = f" xml:lang={quoted(string.lang)}" if string.lang is not None else ""
    charset = f" charset={quoted(string.charset)}" if string.charset is not None else ""
    return f"<rim:LocalizedString{lang}{charset} value={quoted(string.value)}/>"


def _node(obj: PatientObject, node: str, part: str) -> str:
    return (
        f'<rim:Classification id={quoted(part)} objectType="{CLASSIFICATION_TYPE}" '
        f'classifiedObject={quoted(obj.id)} classificationNode="{node}"/>'
    )


def _classification(parent: str, scheme: str, part: str, node_representation: str, children: str) -> str:
    return (
        f'<rim:Classification id={quoted(part)} objectType="{CLASSIFICATION_TYPE}" classifiedObject={quoted(parent)} '
        f'classificationScheme="{scheme}" '
        f"nodeRepresentation={quoted(node_representation)}>{children}</rim:Classification>"
    )


def _encode_code(parent: str, scheme: str, code: Code, ids: Iterator[str]) -> str:
    children = _encode_slot("codingScheme", (code.scheme,))
    if code.display is not None:
        children += f"<rim:Name>{_encode_localized(code.display)}</rim:Name>"
    return _classification(parent, scheme, code.id or next(ids), code.code, children)


def _encode_author(parent: str, scheme: str, author: Author, ids: Iterator[str]) -> str:
    slots = []
    for name, (attribute, _datatype, many) in AUTHOR_SLOTS.items():
        value = getattr(author, attribute)
        if value:
            slots.append(_encode_slot(name, value if many else (value,)))
    slots += [_encode_slot(slot.name, slot.values, slot.slot_type) for slot in author.extra_slots]
    return _classification(parent, scheme, author.id or next(ids), "", "".join(slots))


def _encode_identifier(parent: str, row: Attribute, identifier: Identifier, ids: Iterator[str]) -> str:
    return (
        f"<rim:ExternalIdentifier id={quoted(identifier.id or next(ids))} "
        f'objectType="{EXTERNAL_IDENTIFIER_TYPE}" registryObject={quoted(parent)} identificationScheme="{row.key}" '
        f'value={quoted(identifier.value)}><rim:Name><rim:LocalizedString value="{row.external_name}"/></rim:Name>'
        f"</rim:ExternalIdentifier>"
    )
