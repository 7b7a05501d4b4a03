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

from sqlalchemy import Connection, func, insert, select

from registry import bodies
from registry.codes import CodeCache
from registry.effects import Effects, is_association
from registry.identity import Assignment, is_ours, new_uuids
from registry.models import (
    ASSOCIATION_TYPE_NUMBER,
    STATUS_NUMBER,
    object_code,
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
from xds.metadata.model import PatientObject, Submission
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
    outside = _uuids(message)
    patients = _lock_patients(connection, message, outside)
    if again:
        _lock_identifiers(connection, message)
    used = _used_parts(connection, message, outside)
    facts = _gather(connection, message, registration.affinity, patients, outside)
    faults = [*registration.shape, *rules.check(rules.CONTENT, message, facts)]
    if faults:
        raise Refused(faults)
    submission = Assignment(new_uuids(), used).submission(message.submission)
    patient_row = patients[rules.patient_of(submission.submission_set) or ""]
    submission = Effects(connection, submission, patient_row).apply()
    _write(connection, submission, patient_row, registration.codes, facts)
    _keep_parts(connection, registration.message, used)


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
    concerned = patient.c.value.in_(named)
    if outside:  # as one set of ids, since an OR of the two would read every patient
        owners = select(_obj.patient).where(_obj.id.in_(map(UUID, outside)))
        concerned = patient.c.id.in_(select(patient.c.id).where(concerned).union(owners))
    rows = connection.execute(
        select(patient.c.id, patient.c.value, patient.c.survivor)
        .where(concerned)
        .order_by(patient.c.id)
        .with_for_update(key_share=True),
    )
    return {value: id_ for id_, value, survivor in rows if survivor is None}


def _lock_identifiers(connection: Connection, message: Message) -> None:
    """Queue for the identifiers of the message, in one order: the lock of the patient does not part two patients.

    SQLite has a single writer at a time anyway.
    """
    if connection.dialect.name != "postgresql":
        return
    unique_ids = {obj.unique_id.value for obj in message.submission.packages if obj.unique_id is not None}
    uuids = {id_ for id_ in message.objects if rules.is_uuid(id_)} | _part_uuids(message)
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
    ids = unique_identifier.c
    found: dict[str, tuple[Identified, ...]] = {}
    for value, kind, hash_, size in connection.execute(
        select(ids.value, ids.kind, ids.hash, ids.size).where(ids.value.in_(values)).order_by(ids.value, ids.ordinal),
    ):
        bearer = Identified(model_of(kind), None if hash_ is None else hash_.hex(), size)
        found[value] = (*found.get(value, ()), bearer)
    return found


def _registered(connection: Connection, outside: set[str]) -> dict[str, Registered]:
    ids = [UUID(id_) for id_ in outside]
    is_xfrm = _obj.type == ASSOCIATION_TYPE_NUMBER[AssociationType.XFRM]
    transforms = set(connection.scalars(select(_obj.source).where(is_association(_obj.source.in_(ids)), is_xfrm)))
    rows = connection.execute(
        select(_obj.id, _obj.kind, patient.c.value, _obj.status, _obj.on_demand)
        .join(patient, patient.c.id == _obj.patient)
        .where(_obj.id.in_(ids)),
    )
    return {
        id_.urn: Registered(model_of(kind), value, _STATUS[status], bool(on_demand), id_ in transforms)
        for id_, kind, value, status, on_demand in rows
    }


def _part_uuids(message: Message) -> set[str]:
    parts = (part.id for obj in message.submission.objects for part in rules.parts(obj))
    sets, folders = message.submission.submission_sets, message.submission.folders
    nodes = [obj.node_id for obj in sets] + [obj.node_id for obj in folders]
    return {id_ for id_ in (*parts, *nodes) if id_ is not None and rules.is_uuid(id_)}


def _used_parts(connection: Connection, message: Message, outside: set[str]) -> set[str]:
    """UUIDs that parts of the message bear although others bear them already; they are given new ones."""
    sent = _part_uuids(message)
    if not sent:
        return set()
    ids = [UUID(id_) for id_ in sent]
    known = select(submitted_part.c.id).where(submitted_part.c.id.in_(ids))
    known_objects = select(_obj.id).where(_obj.id.in_(ids))
    used = {id_.urn for id_ in connection.scalars(known.union(known_objects))}
    return used | (sent & outside) | set(filter(is_ours, sent))


def _keep_parts(connection: Connection, message: Message, used: set[str]) -> None:
    kept = _part_uuids(message) - used
    if kept:
        connection.execute(insert(submitted_part), [{"id": UUID(id_)} for id_ in sorted(kept)])


# Step 7


def _write(connection: Connection, submission: Submission, patient_row: int, codes: CodeCache, facts: Facts) -> None:
    objects = tuple(submission.objects)
    numbers = codes.intern(connection, {key for obj in objects for key in code_keys(obj)})
    rows = [row(obj, patient=patient_row, code_ids=numbers, body=bodies.pack(rim.encode(obj))) for obj in objects]
    connection.execute(insert(registry_object), rows)
    identifiers = [_identifier(obj, patient_row, facts) for obj in submission.packages]
    connection.execute(insert(unique_identifier), sorted(identifiers, key=itemgetter("value")))  # else writers deadlock
    coded = [entry for obj in objects for entry in code_rows(obj, patient=patient_row, code_ids=numbers)]
    if coded:
        connection.execute(insert(object_code), coded)


def _identifier(obj: PatientObject, patient_row: int, facts: Facts) -> dict[str, object]:
    earlier = facts.identified.get(obj.unique_id.value if obj.unique_id else "", ())
    return identifier_row(obj, patient=patient_row, ordinal=len(earlier))
