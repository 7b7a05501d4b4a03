"""Registry objects -> ebRIM 3.0, in the one form in which we serve them (ITI TF-3 4.2.3.1; `rim.xsd`).

Prefix `rim` (declared by the list around them), no white space, children in the schema's order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

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
    Slot,
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
    rows, parent = _ROWS[type(obj)], quoted(obj.id)
    written = []
    for field, opening in rows.slots:
        value = getattr(obj, field)
        if value is not None and value != ():
            written.append(_slot(opening, value))
    written += map(_extra_slot, obj.extra_slots)
    written += _texts(obj.title, obj.comments, obj.version), node
    for row, write in rows.classifications:
        value = getattr(obj, row.field)
        if row.many:
            written += [write(parent, row.key, part, part_id) for part in value]
        elif value is not None:
            written.append(write(parent, row.key, value, part_id))
    for row, name in rows.identifiers:
        value = getattr(obj, row.field)
        if value is not None:
            written.append(_identifier(parent, row.key, value, name, part_id))
    return "".join(written)


def _association(obj: Association, part_id: PartId) -> str:
    opening = (
        f'objectType="{ASSOCIATION_TYPE}" associationType={quoted(obj.type)} '
        f"sourceObject={quoted(obj.source)} targetObject={quoted(obj.target)}"
    )
    status = _slot(_SUBMISSION_SET_STATUS, obj.submission_set_status) if obj.submission_set_status is not None else ""
    texts = _texts(obj.title, obj.comments, obj.version)
    documentation = ""
    if obj.documentation is not None:
        documentation = _coded(quoted(obj.id), ASSOCIATION_DOCUMENTATION_SCHEME, obj.documentation, part_id)
    children = "".join((status, *map(_extra_slot, obj.extra_slots), texts, documentation))
    return _element("Association", obj, opening, children)


# --- slots and texts


def _slot_opening(name: str, slot_type: str | None = None) -> str:
    kind = f" slotType={quoted(slot_type)}" if slot_type is not None else ""
    return f"<rim:Slot name={quoted(name)}{kind}><rim:ValueList>"


_SUBMISSION_SET_STATUS, _CODING_SCHEME = _slot_opening("SubmissionSetStatus"), _slot_opening("codingScheme")


def _slot(opening: str, value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return f"{opening}<rim:Value>{text(value)}</rim:Value></rim:ValueList></rim:Slot>"
    listed = "".join([f"<rim:Value>{text(item)}</rim:Value>" for item in value])
    return f"{opening}{listed}</rim:ValueList></rim:Slot>"


def _extra_slot(slot: Slot) -> str:
    return _slot(_slot_opening(slot.name, slot.slot_type), slot.values)


def _texts(title: LocalizedString | None, comments: LocalizedString | None, version: str | None) -> str:
    name = f"<rim:Name>{_localized(title)}</rim:Name>" if title is not None else ""
    description = f"<rim:Description>{_localized(comments)}</rim:Description>" if comments is not None else ""
    info = f"<rim:VersionInfo versionName={quoted(version)}/>" if version is not None else ""
    return name + description + info


def _localized(string: LocalizedString) -> str:
    lang = f" xml:lang={quoted(string.lang)}" if string.lang is not None else ""
    charset = f" charset={quoted(string.charset)}" if string.charset is not None else ""
    return f"<rim:LocalizedString{lang}{charset} value={quoted(string.value)}/>"


# --- parts: what has an id of its own


def _coded(parent: str, scheme: str, code: Code, part_id: PartId) -> str:
    name = code.display
    display = (name.value, name.lang, name.charset) if name is not None else ()
    return (
        f"<rim:Classification id={quoted(part_id(code.id))} {_CLASSIFIED}{parent} "
        f"{_code(scheme, code.code, code.scheme, *display)}</rim:Classification>"
    )


_CLASSIFIED = f'objectType="{CLASSIFICATION_TYPE}" classifiedObject='


@lru_cache(maxsize=4096)
def _code(scheme: str, code: str, coding_scheme: str, *display: str | None) -> str:
    """What a coded attribute's Classification says beside its ids: the same wherever the code is used."""
    slot = _slot(_CODING_SCHEME, coding_scheme)
    name = f"<rim:Name>{_localized(LocalizedString(*display))}</rim:Name>" if display else ""  # type: ignore[arg-type]
    return f'classificationScheme="{scheme}" nodeRepresentation={quoted(code)}>{slot}{name}'


def _author(parent: str, scheme: str, author: Author, part_id: PartId) -> str:
    slots = [_slot(opening, value) for field, opening in _AUTHOR_SLOTS if (value := getattr(author, field))]
    children = "".join((*slots, *map(_extra_slot, author.extra_slots)))
    return (
        f"<rim:Classification id={quoted(part_id(author.id))} {_CLASSIFIED}{parent} "
        f'classificationScheme="{scheme}" nodeRepresentation="">{children}</rim:Classification>'
    )


_AUTHOR_SLOTS = tuple((field, _slot_opening(name)) for name, (field, _datatype, _many) in AUTHOR_SLOTS.items())


def _identifier(parent: str, scheme: str, identifier: Identifier, name: str, part_id: PartId) -> str:
    return (
        f"<rim:ExternalIdentifier id={quoted(part_id(identifier.id))} "
        f'objectType="{EXTERNAL_IDENTIFIER_TYPE}" registryObject={parent} identificationScheme="{scheme}" '
        f"value={quoted(identifier.value)}>{name}</rim:ExternalIdentifier>"
    )


# --- the rows of each kind of object, with all that is the same in every object


class _Rows:
    """The rows of one kind of object, by carrier.

    Attributes:
        slots: field, and the element up to its values.
        classifications: row, and who writes its parts.
        identifiers: row, and the Name that its element must carry.
    """

    def __init__(self, rows: tuple[Attribute, ...]) -> None:
        self.slots = tuple((row.field, _slot_opening(row.key)) for row in rows if row.carrier is Carrier.SLOT)
        self.classifications = tuple((row, _PARTS[row.carrier]) for row in rows if row.carrier in _PARTS)
        self.identifiers = tuple(
            (row, f"<rim:Name>{_localized(LocalizedString(row.external_name))}</rim:Name>")
            for row in rows
            if row.carrier is Carrier.EXTERNAL_IDENTIFIER
        )


_PARTS: Mapping[Carrier, Callable[[str, str, Any, PartId], str]] = {
    Carrier.CLASSIFICATION: _coded,
    Carrier.AUTHOR: _author,
}
_ROWS: Mapping[type[PatientObject], _Rows] = {kind: _Rows(rows) for kind, rows in OF.items()}
