"""ebRIM 3.0 elements -> registry objects, driven by `attributes.TABLE` (ITI TF-3 4.2.3.1; `rim.xsd`).

Decoding takes any prefix and any order and never stops at a fault: it returns what it understood and yields what is
wrong with the *shape*; what is wrong with the *values* is for `metadata.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xds.ebxml.rim.names import (
    ASSOCIATION,
    CLASSIFICATION,
    DESCRIPTION,
    EXTERNAL_IDENTIFIER,
    EXTRINSIC_OBJECT,
    NAME,
    OBJECT_REF,
    REGISTRY_OBJECT_LIST,
    REGISTRY_PACKAGE,
    SLOT,
    SPACE,
    VERSION_INFO,
    normal_id,
)
from xds.ebxml.rim.reading import (
    Reading,
    author_of,
    children,
    code_of,
    id_of,
    name_of,
    read_text,
    slot_name,
    slot_of,
    values_of,
)
from xds.ebxml.xml import Element, parse
from xds.errors import Code as ErrorCode
from xds.errors import XDSError
from xds.metadata.attributes import OF, Attribute, Carrier
from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    Identifier,
    PatientObject,
    RegistryObject,
    Submission,
    SubmissionSet,
)
from xds.metadata.rules.message import bounded
from xds.metadata.vocabulary import (
    ASSOCIATION_DOCUMENTATION_SCHEME,
    FOLDER_NODE,
    LIMITED_METADATA_NODES,
    RIM,
    SUBMISSION_SET_NODE,
)

_OBJECTS = frozenset({EXTRINSIC_OBJECT, REGISTRY_PACKAGE, ASSOCIATION})


class _Rows:
    """The rows of one kind of object, by what its elements are recognised by; and who reads a Classification."""

    def __init__(self, rows: tuple[Attribute, ...]) -> None:
        self.slots = {row.key: row for row in rows if row.carrier is Carrier.SLOT}
        self.identifiers = {row.key: row for row in rows if row.carrier is Carrier.EXTERNAL_IDENTIFIER}
        self.classifications = {row.key: (row, _PARTS[row.carrier]) for row in rows if row.carrier in _PARTS}


_PARTS: Mapping[Carrier, Callable[[Reading, str, Element], Author | Code]] = {
    Carrier.CLASSIFICATION: code_of,
    Carrier.AUTHOR: author_of,
}
_BY_KEY: dict[type[PatientObject], _Rows] = {kind: _Rows(rows) for kind, rows in OF.items()}


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
    obj = Reading(element, DocumentEntry, report)
    get = element.get
    obj.fields["object_type"] = normal_id(get("objectType") or "")
    obj.fields["mime_type"] = (get("mimeType") or "").strip(SPACE) or None
    obj.fields["is_opaque"] = get("isOpaque")
    _decode_children(obj, DocumentEntry, siblings)
    return obj.build()  # type: ignore[no-any-return]


def _decode_package(element: Element, siblings: list[Element], report: list[XDSError]) -> SubmissionSet | Folder | None:
    kinds = {
        normal_id(node.get("classificationNode") or "") for node in (*children(element, CLASSIFICATION), *siblings)
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
    obj = Reading(element, kind, report)
    _decode_children(obj, kind, siblings)
    return obj.build()  # type: ignore[no-any-return]


def _decode_association(element: Element, siblings: list[Element], report: list[XDSError]) -> Association:
    obj = Reading(element, Association, report)
    get = element.get
    obj.fields["type"] = (get("associationType") or "").strip(SPACE)
    obj.fields["source"] = normal_id(get("sourceObject") or "")
    obj.fields["target"] = normal_id(get("targetObject") or "")
    for child in (*element, *siblings):
        match child.tag:
            case t if t == SLOT:
                _association_slot(obj, child)
            case t if t == CLASSIFICATION:
                _association_documentation(obj, child)
            case t if t in (NAME, DESCRIPTION):
                read_text(obj, child)
            case t if t == VERSION_INFO:
                obj.fields["version"] = child.get("versionName")
            case t if t == EXTERNAL_IDENTIFIER:
                obj.wrong(f"an association has no ExternalIdentifier, found {child.get('identificationScheme')!r}")
    return obj.build()  # type: ignore[no-any-return]


def _association_slot(obj: Reading, element: Element) -> None:
    name = slot_name(element)
    if not obj.once(f"slot {name}"):
        return
    if name != "SubmissionSetStatus":
        obj.unknown_slot(slot_of(element))
        return
    values = values_of(element)
    if len(values) != 1:
        obj.wrong(f"the slot SubmissionSetStatus has {len(values)} values instead of one")
    if values:  # the first, so that no rule takes it for missing
        obj.fields["submission_set_status"] = values[0]


def _association_documentation(obj: Reading, element: Element) -> None:
    scheme = normal_id(element.get("classificationScheme") or "")
    if scheme != ASSOCIATION_DOCUMENTATION_SCHEME:
        obj.wrong(f"an association has no Classification with the scheme {scheme!r}")
    elif obj.once("association documentation"):
        obj.fields["documentation"] = code_of(obj, "association documentation", element)


def _decode_children(obj: Reading, kind: type[PatientObject], siblings: list[Element]) -> None:
    rows = _BY_KEY[kind]
    for child in obj.element:
        decode = _CHILDREN.get(child.tag)
        if decode is not None:
            decode(obj, child, rows)
    for node in siblings:
        _decode_classification(obj, node, rows)


def _decode_slot(obj: Reading, element: Element, rows: _Rows) -> None:
    name = element.get("name") or ""
    row = rows.slots.get(name) or rows.slots.get(name := name.strip(SPACE))
    if row is None:
        if obj.once(f"slot {name}"):
            obj.unknown_slot(slot_of(element))
        return
    if row.field in obj.fields:
        obj.repeated(f"slot {name}")
        return
    values = values_of(element)
    if row.many:
        obj.fields[row.field] = values
        return
    if len(values) > 1:
        obj.wrong(f"{row.name} has {len(values)} values instead of one: {', '.join(values)[:200]}")
    obj.fields[row.field] = values[0] if values else None  # the first, so that no rule takes it for missing


def _decode_classification(obj: Reading, element: Element, rows: _Rows) -> None:
    get = element.get
    if get("classifiedObject") != obj.sent and not obj.is_meant(get("classifiedObject")):
        obj.wrong(
            f"the Classification {get('id')} in it has classifiedObject={get('classifiedObject')!r} instead of its id"
        )
    if (sent := get("classificationNode")) and (node := normal_id(sent)):
        _decode_node(obj, node, element)
        return
    scheme = get("classificationScheme") or ""
    known = rows.classifications.get(scheme) or rows.classifications.get(normal_id(scheme))
    if known is None:
        obj.wrong(f"a Classification with the scheme {normal_id(scheme)!r} is not defined for it")
        return
    row, part_of = known
    if row.many:
        obj.fields[row.field] = (*obj.fields.get(row.field, ()), part_of(obj, row.name, element))
    elif row.field in obj.fields:
        obj.repeated(row.name)
    else:
        obj.fields[row.field] = part_of(obj, row.name, element)


def _decode_node(obj: Reading, node: str, element: Element) -> None:
    if node in LIMITED_METADATA_NODES:
        obj.fields["limited_metadata"] = True
    elif node in (SUBMISSION_SET_NODE, FOLDER_NODE) and obj.kind is not DocumentEntry:
        if obj.once("the Classification that says what it is"):
            obj.fields["node_id"] = id_of(element)
    else:
        obj.wrong(f"a Classification with the node {node!r} is not defined for it")


def _decode_identifier(obj: Reading, element: Element, rows: _Rows) -> None:
    get = element.get
    scheme = get("identificationScheme") or ""
    row = rows.identifiers.get(scheme) or rows.identifiers.get(normal_id(scheme))
    if row is None:
        obj.wrong(f"an ExternalIdentifier with the scheme {normal_id(scheme)!r} is not defined for it")
        return
    if get("registryObject") != obj.sent and not obj.is_meant(get("registryObject")):
        obj.wrong(f"the ExternalIdentifier {row.name} has registryObject={get('registryObject')!r} instead of its id")
    name = name_of(element)
    if name != row.external_name:
        obj.wrong(f"the ExternalIdentifier {row.name} has the Name {name!r} instead of {row.external_name!r}")
    if row.field in obj.fields:
        obj.repeated(row.name)
    else:
        obj.fields[row.field] = Identifier((get("value") or "").strip(SPACE), id_of(element))


def _decode_text(obj: Reading, element: Element, _rows: _Rows) -> None:
    read_text(obj, element)


def _decode_version(obj: Reading, element: Element, _rows: _Rows) -> None:
    obj.fields["version"] = element.get("versionName")


_CHILDREN: dict[str, Callable[[Reading, Element, _Rows], None]] = {
    SLOT: _decode_slot,
    NAME: _decode_text,
    DESCRIPTION: _decode_text,
    VERSION_INFO: _decode_version,
    CLASSIFICATION: _decode_classification,
    EXTERNAL_IDENTIFIER: _decode_identifier,
}
