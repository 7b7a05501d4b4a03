"""Registry objects -> ebRIM 3.0, in the one form in which we serve them (ITI TF-3 4.2.3.1; `rim.xsd`).

Prefix `rim` (declared by the list around them), no white space, children in the schema's order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from xds.ebxml.xml import quoted, text
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
    Submission,
    SubmissionSet,
)
from xds.metadata.vocabulary import (
    ASSOCIATION_DOCUMENTATION_SCHEME,
    ASSOCIATION_TYPE,
    CLASSIFICATION_TYPE,
    EXTERNAL_IDENTIFIER_TYPE,
    FOLDER_NODE,
    REGISTRY_PACKAGE_TYPE,
    SUBMISSION_SET_NODE,
)

_ROWS: Mapping[type[PatientObject], tuple[tuple[Attribute, Carrier], ...]] = {
    kind: tuple(
        (row, row.carrier)
        for row in rows
        if row.carrier not in {Carrier.NAME, Carrier.DESCRIPTION, Carrier.XML_ATTRIBUTE}
    )
    for kind, rows in OF.items()
}

PartId = Callable[[str | None], str]
"""From the id a Classification or ExternalIdentifier came with to the one it is written with."""


def encode(obj: RegistryObject, part_id: PartId | None = None) -> str:
    """Write one object as ebRIM with the prefix `rim`.

    Args:
        obj: DocumentEntry, SubmissionSet, Folder or Association.
        part_id: chooses the ids of its parts; if not given, they keep theirs, and those without get symbolic ones.
    """
    part_id = part_id or symbolic_ids()
    if isinstance(obj, Association):
        return _association(obj, part_id)
    if isinstance(obj, DocumentEntry):
        return _entry(obj, part_id)
    if isinstance(obj, SubmissionSet | Folder):
        return _package(obj, part_id)
    raise TypeError(obj)


def encode_submission(submission: Submission) -> str:
    """Write a Submission as rim:RegistryObjectList content: entries, SubmissionSet, Folders, Associations."""
    part_id = symbolic_ids()
    order = itertools.chain(submission.entries, submission.submission_sets, submission.folders, submission.associations)
    return "".join([encode(obj, part_id) for obj in order])


def symbolic_ids() -> PartId:
    """Ids valid inside one message, for parts that have none."""
    numbers = itertools.count(1)
    return lambda id_: id_ or f"part-{next(numbers)}"


def _entry(entry: DocumentEntry, part_id: PartId) -> str:
    opening = f"objectType={quoted(entry.object_type)}"
    if entry.mime_type is not None:
        opening += f" mimeType={quoted(entry.mime_type)}"
    if entry.is_opaque is not None:
        opening += f" isOpaque={quoted(entry.is_opaque)}"
    return _element("ExtrinsicObject", entry, opening, _children(entry, part_id))


def _package(package: SubmissionSet | Folder, part_id: PartId) -> str:
    kind = SUBMISSION_SET_NODE if isinstance(package, SubmissionSet) else FOLDER_NODE
    node = (
        f'<rim:Classification id={quoted(part_id(package.node_id))} objectType="{CLASSIFICATION_TYPE}" '
        f'classifiedObject={quoted(package.id)} classificationNode="{kind}"/>'
    )
    return _element("RegistryPackage", package, _PACKAGE, _children(package, part_id, node))


_PACKAGE = f'objectType="{REGISTRY_PACKAGE_TYPE}"'


def _element(tag: str, obj: RegistryObject, opening: str, children: str) -> str:
    lid = f" lid={quoted(obj.lid)}" if obj.lid is not None else ""
    home = f" home={quoted(obj.home)}" if obj.home is not None else ""
    status = f' status="{obj.status}"' if obj.status is not None else ""
    return f"<rim:{tag} id={quoted(obj.id)}{lid}{home} {opening}{status}>{children}</rim:{tag}>"


def _children(obj: PatientObject, part_id: PartId, node: str = "") -> str:
    """The children in the order of `rim.xsd`: slots, texts, version, classifications, identifiers."""
    slots, classifications, identifiers = [], [node], []
    parent = quoted(obj.id)
    for row, carrier in _ROWS[type(obj)]:
        value = getattr(obj, row.field)
        if value is None or value == ():
            continue
        if carrier is Carrier.SLOT:
            slots.append(_encode_slot(row.key, value if row.many else (value,)))
        elif carrier is Carrier.EXTERNAL_IDENTIFIER:
            identifiers.append(_encode_identifier(parent, row, value, part_id))
        else:
            write = _encode_author if carrier is Carrier.AUTHOR else _encode_code
            classifications += [write(parent, row.key, part, part_id) for part in (value if row.many else (value,))]
    extra = [_encode_slot(slot.name, slot.values, slot.slot_type) for slot in obj.extra_slots]
    return "".join((*slots, *extra, _texts(obj.title, obj.comments, obj.version), *classifications, *identifiers))


def _association(obj: Association, part_id: PartId) -> str:
    opening = (
        f'objectType="{ASSOCIATION_TYPE}" associationType={quoted(obj.type)} '
        f"sourceObject={quoted(obj.source)} targetObject={quoted(obj.target)}"
    )
    slots = [_encode_slot(slot.name, slot.values, slot.slot_type) for slot in obj.extra_slots]
    if obj.submission_set_status is not None:
        slots.insert(0, _encode_slot("SubmissionSetStatus", (obj.submission_set_status,)))
    documentation = ""
    if obj.documentation is not None:
        documentation = _encode_code(quoted(obj.id), ASSOCIATION_DOCUMENTATION_SCHEME, obj.documentation, part_id)
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


def _classification(parent: str, scheme: str, part: str, node_representation: str, children: str) -> str:
    return (
        f'<rim:Classification id={quoted(part)} objectType="{CLASSIFICATION_TYPE}" classifiedObject={parent} '
        f'classificationScheme="{scheme}" '
        f"nodeRepresentation={quoted(node_representation)}>{children}</rim:Classification>"
    )


def _encode_code(parent: str, scheme: str, code: Code, part_id: PartId) -> str:
    children = _encode_slot("codingScheme", (code.scheme,))
    if code.display is not None:
        children += f"<rim:Name>{_encode_localized(code.display)}</rim:Name>"
    return _classification(parent, scheme, part_id(code.id), code.code, children)


def _encode_author(parent: str, scheme: str, author: Author, part_id: PartId) -> str:
    slots = []
    for name, (attribute, _datatype, many) in AUTHOR_SLOTS.items():
        value = getattr(author, attribute)
        if value:
            slots.append(_encode_slot(name, value if many else (value,)))
    slots += [_encode_slot(slot.name, slot.values, slot.slot_type) for slot in author.extra_slots]
    return _classification(parent, scheme, part_id(author.id), "", "".join(slots))


def _encode_identifier(parent: str, row: Attribute, identifier: Identifier, part_id: PartId) -> str:
    return (
        f"<rim:ExternalIdentifier id={quoted(part_id(identifier.id))} "
        f'objectType="{EXTERNAL_IDENTIFIER_TYPE}" registryObject={parent} identificationScheme="{row.key}" '
        f'value={quoted(identifier.value)}><rim:Name><rim:LocalizedString value="{row.external_name}"/></rim:Name>'
        f"</rim:ExternalIdentifier>"
    )
