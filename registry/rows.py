"""From objects of the model to rows of the tables, as registration writes them and queries search them.

A column has the name of the model's field. Texts that are compared stand in Unicode NFC (ITI TF-2 Appendix F); the
object as it is served, in `body`, keeps its own. patientId and uniqueId are compared octet by octet.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from registry.models import ASSOCIATION_TYPE_NUMBER, STATUS_NUMBER, Kind, lines, registry_object
from xds.metadata.attributes import OF, Attribute, Carrier
from xds.metadata.model import Association, Code, DocumentEntry, Folder, PatientObject, RegistryObject, SubmissionSet
from xds.metadata.text import nfc
from xds.metadata.vocabulary import ON_DEMAND, STABLE, AssociationType, AvailabilityStatus
from xds.queries.text import line

KIND: Mapping[type[RegistryObject], Kind] = {
    DocumentEntry: Kind.DOCUMENT_ENTRY,
    SubmissionSet: Kind.SUBMISSION_SET,
    Folder: Kind.FOLDER,
    Association: Kind.ASSOCIATION,
}
ON_DEMAND_NUMBER: Mapping[str, int] = {STABLE: 0, ON_DEMAND: 1}

MODEL: Mapping[int, type[RegistryObject]] = {kind: model for model, kind in KIND.items()}

_TIMES: Mapping[type[RegistryObject], tuple[str, ...]] = {
    DocumentEntry: ("creation_time", "service_start_time", "service_stop_time"),
    SubmissionSet: ("submission_time",),
    Folder: ("last_update_time",),
    Association: (),
}
_CODED: Mapping[type[RegistryObject], tuple[Attribute, ...]] = {
    kind: tuple(row for row in rows if row.carrier is Carrier.CLASSIFICATION) for kind, rows in OF.items()
}

CodeIds = Mapping[tuple[str, str], int]
"""Number of each (attribute, `code^^codingScheme`), as `CodeCache.numbers` gives it."""


def kind_of(obj: RegistryObject) -> Kind:
    """The kind of an object."""
    return KIND[type(obj)]


def model_of(kind: int) -> type[RegistryObject]:
    """The class of objects of a kind."""
    return MODEL[kind]


def row(obj: RegistryObject, *, patient: int | None = None, code_ids: CodeIds, body: bytes) -> dict[str, Any]:
    """Make the row of `registry_object`: every column, so that rows of all kinds go into one statement.

    Args:
        obj: registered: `id`, `lid` and references are UUIDs; without a status it is Approved.
        patient: number of its patient; of an association, that of its source; None leaves it open for `insert`.
        code_ids: numbers of at least `code_keys(obj)`.
        body: the object as served, packed by `registry.bodies`.

    Raises:
        KeyError: if a code has no number.
    """
    id_ = _uuid(obj.id)
    return _NOTHING | {
        "id": id_,
        "patient": patient,
        "lid": id_ if obj.lid in {None, obj.id} else _uuid(obj.lid or ""),
        "kind": kind_of(obj),
        "version": int(obj.version or 1),
        "status": STATUS_NUMBER[obj.status or AvailabilityStatus.APPROVED],
        "body": body,
        **_searched(obj, code_ids),
    }


_NOTHING: dict[str, Any] = dict.fromkeys(registry_object.c.keys())
_uuid = lru_cache(maxsize=1024)(uuid.UUID)  # each stands in several rows of a submission


def code_keys(obj: RegistryObject) -> set[tuple[str, str]]:
    """The codes of an object that are searched: pairs of attribute name and `code^^codingScheme`."""
    return {_key(attribute, value) for attribute, value in _codes(obj)}


def code_rows(obj: RegistryObject, *, patient: int | None = None, code_ids: CodeIds) -> list[dict[str, Any]]:
    """Make the rows of `object_code`: the attributes with several codes, each code once."""
    numbers = {code_ids[_key(attribute, value)] for attribute, value in _codes(obj) if attribute.many}
    return [{"code": number, "object": _uuid(obj.id), "patient": patient} for number in sorted(numbers)]


def identifier_row(obj: PatientObject, *, patient: int | None = None, ordinal: int = 0) -> dict[str, Any]:
    """Make the row of `unique_identifier`.

    Args:
        obj: with a uniqueId; a DocumentEntry brings hash and size if it has them.
        patient: number of its patient, or None, as in `row`.
        ordinal: 0 for the first object with this uniqueId.
    """
    digest, size = (obj.hash, obj.size) if isinstance(obj, DocumentEntry) else (None, None)
    return {
        "value": obj.unique_id.value if obj.unique_id else None,
        "ordinal": ordinal,
        "object": _uuid(obj.id),
        "patient": patient,
        "kind": kind_of(obj),
        "hash": bytes.fromhex(digest) if digest else None,
        "size": int(size) if size else None,
    }


def _codes(obj: RegistryObject) -> Iterator[tuple[Attribute, Code]]:
    for attribute in _CODED.get(type(obj), ()):
        value = getattr(obj, attribute.field)
        for code in value if attribute.many else (value,):
            if code is not None:
                yield attribute, code


def _key(attribute: Attribute, code: Code) -> tuple[str, str]:
    return attribute.name, nfc(code.key)


def _searched(obj: RegistryObject, code_ids: CodeIds) -> dict[str, Any]:
    """The columns of one kind of object."""
    columns: dict[str, Any] = {name: getattr(obj, name) for name in _TIMES[type(obj)]}
    columns |= {row.field: code_ids[_key(row, value)] for row, value in _codes(obj) if not row.many}
    match obj:
        case DocumentEntry():
            return columns | _of_entry(obj)
        case SubmissionSet():
            source = obj.source_id.value if obj.source_id else None
            return columns | {"author_person": _authors(obj), "source_id": source}
        case Association():
            number = ASSOCIATION_TYPE_NUMBER[AssociationType(obj.type)]
            return {"type": number, "source": _uuid(obj.source), "target": _uuid(obj.target)}
    return columns


def _of_entry(entry: DocumentEntry) -> dict[str, Any]:
    columns = {
        "on_demand": ON_DEMAND_NUMBER[entry.object_type],
        "author_person": _authors(entry),
        "reference_id_list": lines(tuple(map(line, entry.reference_id_list))),
    }
    # Conditions on creationTime do not apply to On-Demand entries (ITI TF-2 3.18.4.1.2.3.7.1): as if they had none.
    return columns | {"creation_time": None} if columns["on_demand"] else columns


def _authors(obj: DocumentEntry | SubmissionSet) -> str | None:
    return lines(tuple(line(author.person) for author in obj.author if author.person))
