"""Register Document Set-b, ITI-42 (ITI TF-2 3.42): rules, identifiers, effects, all in one database transaction.

1  the message alone: schema, shape, structure            -> every fault of the phase, nothing else is looked at
2  lock the patient                                       -> submissions of one patient follow one another
3  gather what the registry knows of the message's ids
4  the rules of content                                   -> every fault, nothing is written
5  ids, lid, version, status
6  effects on what is registered: deprecation, Folder propagation, lastUpdateTime (`registry.effects`)
7  write
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from operator import itemgetter
from uuid import UUID

from sqlalchemy import BindParameter, Connection, bindparam, func, insert, select

from registry.bodies import pack
from registry.codes import CodeCache
from registry.effects import Effects, is_association
from registry.identity import Assignment, is_ours, new_uuids
from registry.insert import insert_all
from registry.models import (
    ASSOCIATION_TYPE_NUMBER,
    STATUS_NUMBER,
    patient,
    registry_object,
    submitted_part,
    unique_identifier,
)
from registry.rows import code_keys, code_rows, identifier_row, model_of, row
from xds.ebxml import rim
from xds.errors import Refused, XDSError
from xds.messages import SubmitObjectsRequest
from xds.metadata import rules
from xds.metadata.affinity import AffinityDomain
from xds.metadata.model import PatientObject
from xds.metadata.rules import Facts, Identified, Message, Registered
from xds.metadata.vocabulary import AssociationType
from xds.validation.submission import examine as examine_submission

_STATUS = {number: status for status, number in STATUS_NUMBER.items()}
_obj = registry_object.c


@dataclass(frozen=True)
class Registration:
    """One registration: the message, once its structure is found right."""

    message: Message
    shape: tuple[XDSError, ...]
    affinity: AffinityDomain
    codes: CodeCache


def examine(request: SubmitObjectsRequest, affinity: AffinityDomain, codes: CodeCache) -> Registration:
    """Step 1: what the message alone can tell.

    Raises:
        Refused: XDSRegistryMetadataError or UnresolvedReferenceException, every fault of the structure.
    """
    examination = examine_submission(request.element, Facts(affinity))
    if not examination.is_sound:
        raise Refused(finding.error for finding in examination.findings)
    shape = tuple(finding.error for finding in examination.shape)
    return Registration(examination.message, shape, affinity, codes)


def register(connection: Connection, registration: Registration, *, again: bool = False) -> None:
    """Steps 2 to 7, inside a transaction that the caller commits.

    Args:
        connection: the transaction.
        registration: from `examine`.
        again: another writer used one of the message's identifiers at the same moment: now they queue for them.

    Raises:
        Refused: every fault of the content; the caller rolls back.
    """
    message = registration.message
    outside, parts = _uuids(message), _part_uuids(message)
    patients = _lock_patients(connection, message, outside)
    if again:
        _lock_identifiers(connection, message, parts)
    used = _used_parts(connection, parts, outside)
    facts = _gather(connection, message, registration.affinity, patients, outside)
    faults = [*registration.shape, *rules.check(rules.CONTENT, message, facts)]
    if faults:
        raise Refused(faults)
    ids = Assignment(new_uuids(), used)
    patient_row = patients[rules.patient_of(message.submission.submission_set) or ""]
    submission = Effects(connection, ids.submission(message.submission), patient_row).apply()
    numbers = registration.codes.intern(connection, {key for obj in submission.objects for key in code_keys(obj)})
    objects = [
        row(obj, patient=patient_row, code_ids=numbers, body=pack(rim.encode(obj, ids.part_id)))
        for obj in submission.objects
    ]
    coded = [coded for obj in submission.objects for coded in code_rows(obj, patient=patient_row, code_ids=numbers)]
    identifiers = [_identifier(obj, patient_row, facts) for obj in submission.packages]
    insert_all(connection, objects, coded, sorted(identifiers, key=itemgetter("value")))  # else writers deadlock
    _keep_parts(connection, parts - used)


# Steps 2 and 3


def _uuids(message: Message) -> set[str]:
    """UUIDs by which the message names objects, its own and others'."""
    ends = (end for assoc in message.submission.associations for end in (assoc.source, assoc.target))
    return {id_ for id_ in (*message.objects, *ends) if rules.is_uuid(id_)}


def _lock_patients(connection: Connection, message: Message, outside: set[str]) -> dict[str, int]:
    """Lock the patients of the message and of what it refers to, in one order, so that no two writers block each other.

    Returns:
        The row of each active patientId.
    """
    named = {value for obj in message.submission.packages if (value := rules.patient_of(obj))}
    if outside:
        rows = connection.execute(_LOCK_OWNERS, {"named": named, "ids": list(map(UUID, outside))})
    else:
        rows = connection.execute(_LOCK, {"named": named})
    return {value: id_ for id_, value, survivor in rows if survivor is None}


_patients = select(patient.c.id, patient.c.value, patient.c.survivor).order_by(patient.c.id)
_named = patient.c.value.in_(bindparam("named", expanding=True))
_ids: BindParameter[list[UUID]] = bindparam("ids", expanding=True)
_owners = select(_obj.patient).where(_obj.id.in_(_ids))
_LOCK = _patients.where(_named).with_for_update(key_share=True)
_LOCK_OWNERS = _patients.where(  # by one set of ids, since an OR of the two would read every patient
    patient.c.id.in_(select(patient.c.id).where(_named).union(_owners)),
).with_for_update(key_share=True)


def _lock_identifiers(connection: Connection, message: Message, parts: set[str]) -> None:
    """Queue for the identifiers of the message, in one order: the lock of the patient does not part two patients.

    SQLite has a single writer at a time anyway.
    """
    if connection.dialect.name != "postgresql":
        return
    unique_ids = {obj.unique_id.value for obj in message.submission.packages if obj.unique_id is not None}
    uuids = {id_ for id_ in message.objects if rules.is_uuid(id_)} | parts
    digests = (hashlib.sha256(value.encode()).digest() for value in unique_ids | uuids)
    for number in sorted({int.from_bytes(digest[:8], signed=True) for digest in digests}):
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def _gather(
    connection: Connection, message: Message, affinity: AffinityDomain, patients: dict[str, int], outside: set[str]
) -> Facts:
    return Facts(
        affinity=affinity,
        patients=frozenset(patients),
        identified=_identified(connection, message),
        registered=_registered(connection, outside) if outside else {},
    )


def _identified(connection: Connection, message: Message) -> dict[str, tuple[Identified, ...]]:
    values = [obj.unique_id.value for obj in message.submission.packages if obj.unique_id is not None]
    found: dict[str, tuple[Identified, ...]] = {}
    for value, kind, hash_, size in connection.execute(_IDENTIFIED, {"values": values}):
        bearer = Identified(model_of(kind), None if hash_ is None else hash_.hex(), size)
        found[value] = (*found.get(value, ()), bearer)
    return found


_bearer = unique_identifier.c
_IDENTIFIED = (
    select(_bearer.value, _bearer.kind, _bearer.hash, _bearer.size)
    .where(_bearer.value.in_(bindparam("values", expanding=True)))
    .order_by(_bearer.value, _bearer.ordinal)
)


def _registered(connection: Connection, outside: set[str]) -> dict[str, Registered]:
    ids = {"ids": [UUID(id_) for id_ in outside]}
    transforms = set(connection.scalars(_TRANSFORMS, ids))
    return {
        id_.urn: Registered(model_of(kind), value, _STATUS[status], bool(on_demand), id_ in transforms)
        for id_, kind, value, status, on_demand in connection.execute(_REGISTERED, ids)
    }


_TRANSFORMS = select(_obj.source).where(
    is_association(_obj.source.in_(_ids)), _obj.type == ASSOCIATION_TYPE_NUMBER[AssociationType.XFRM]
)
_REGISTERED = (
    select(_obj.id, _obj.kind, patient.c.value, _obj.status, _obj.on_demand)
    .join(patient, patient.c.id == _obj.patient)
    .where(_obj.id.in_(_ids))
)


def _part_uuids(message: Message) -> set[str]:
    parts = (part.id for obj in message.submission.objects for part in rules.parts(obj))
    sets, folders = message.submission.submission_sets, message.submission.folders
    nodes = [obj.node_id for obj in sets] + [obj.node_id for obj in folders]
    return {id_ for id_ in (*parts, *nodes) if id_ is not None and rules.is_uuid(id_)}


def _used_parts(connection: Connection, sent: set[str], outside: set[str]) -> set[str]:
    """UUIDs that parts of the message bear although others bear them already; they are given new ones."""
    if not sent:
        return set()
    found = connection.scalars(_USED, {"ids": [UUID(id_) for id_ in sent]})
    return {id_.urn for id_ in found} | (sent & outside) | set(filter(is_ours, sent))


_USED = select(submitted_part.c.id).where(submitted_part.c.id.in_(_ids)).union(select(_obj.id).where(_obj.id.in_(_ids)))


def _keep_parts(connection: Connection, kept: set[str]) -> None:
    if kept:
        connection.execute(_KEEP, [{"id": UUID(id_)} for id_ in sorted(kept)])


_KEEP = insert(submitted_part)


# Step 7


def _identifier(obj: PatientObject, patient_row: int, facts: Facts) -> dict[str, object]:
    earlier = facts.identified.get(obj.unique_id.value if obj.unique_id else "", ())
    return identifier_row(obj, patient=patient_row, ordinal=len(earlier))
