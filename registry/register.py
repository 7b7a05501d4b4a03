"""Register Document Set-b, ITI-42 (ITI TF-2 3.42): rules, identifiers, effects, all in one database transaction.

1  the message alone: schema, shape, structure            -> every fault of the phase, nothing else is looked at
2  lock the patient                                       -> submissions of one patient follow one another
3  gather what the registry knows of the message's ids
4  the rules of content                                   -> every fault, nothing is written
5  ids, lid, version, status
6  effects on what is registered: deprecation, Folder propagation, lastUpdateTime
7  write
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from registry import bodies
from registry.codes import CodeCache
from registry.identity import Assignment, new_uuids
from registry.models import (
    ASSOCIATION_TYPE_NUMBER,
    STATUS_NUMBER,
    Kind,
    object_code,
    patient,
    registry_object,
    submitted_part,
    unique_identifier,
)
from registry.rows import code_keys, code_rows, identifier_row, model_of, row
from xds.ebxml import rim
from xds.ebxml.schema import validate
from xds.ebxml.xml import parse
from xds.errors import Code, Refused, XDSError
from xds.messages import SubmitObjectsRequest
from xds.metadata import rules
from xds.metadata.affinity import AffinityDomain
from xds.metadata.datatypes import dtm_now
from xds.metadata.model import Association, Folder, PatientObject, RegistryObject, Submission
from xds.metadata.rules import Facts, Identified, Message, Registered
from xds.metadata.vocabulary import REPLACEMENTS, RIM, AssociationType, AvailabilityStatus

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
    invalid = [
        XDSError(Code.XDSRegistryMetadataError, str(violation), violation.location)
        for violation in validate(request.element)
    ]
    submission, shape = rim.decode_submission(request.element)
    message = Message(submission)
    structure = rules.check(rules.STRUCTURE, message, Facts(affinity))
    if invalid or structure:
        raise Refused([*structure, *shape, *invalid])
    return Registration(message, tuple(shape), affinity, codes)


def register(connection: Connection, registration: Registration) -> None:
    """Steps 2 to 7, inside a transaction that the caller commits.

    Raises:
        Refused: every fault of the content; the caller rolls back.
    """
    message = registration.message
    outside = _uuids(message)
    patients = _lock_patients(connection, message, outside)
    used = _used_parts(connection, message, outside)
    facts = _gather(connection, message, registration.affinity, patients, outside)
    faults = [*registration.shape, *rules.check(rules.CONTENT, message, facts)]
    if faults:
        raise Refused(faults)
    submission = Assignment(new_uuids(), used).submission(message.submission)
    patient_row = patients[rules.patient_of(submission.submission_set) or ""]
    effects = Effects(connection, submission, patient_row)
    submission = effects.apply()
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
    concerned: ColumnElement[bool] = patient.c.value.in_(named)
    if outside:
        owners = select(_obj.patient).where(_obj.id.in_(map(UUID, outside)))
        concerned |= patient.c.id.in_(owners)
    rows = connection.execute(
        select(patient.c.id, patient.c.value, patient.c.survivor)
        .where(concerned)
        .order_by(patient.c.id)
        .with_for_update(key_share=True),
    )
    return {value: id_ for id_, value, survivor in rows if survivor is None}


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
    transforms = set(connection.scalars(select(_obj.source).where(_association(_obj.source.in_(ids)), is_xfrm)))
    rows = connection.execute(
        select(_obj.id, _obj.kind, patient.c.value, _obj.status, _obj.on_demand)
        .join(patient, patient.c.id == _obj.patient)
        .where(_obj.id.in_(ids)),
    )
    return {
        id_.urn: Registered(model_of(kind), value, _STATUS[status], bool(on_demand), id_ in transforms)
        for id_, kind, value, status, on_demand in rows
    }


def _association(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition on associations, said so that the partial indexes serve it."""
    return and_(_obj.kind == Kind.ASSOCIATION, condition)


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
    return {id_.urn for id_ in connection.scalars(known.union(known_objects))} | (sent & outside)


def _keep_parts(connection: Connection, message: Message, used: set[str]) -> None:
    kept = _part_uuids(message) - used
    if kept:
        connection.execute(insert(submitted_part), [{"id": UUID(id_)} for id_ in kept])


# Step 6


class Effects:
    """What a valid submission does to what is registered (ITI TF-2 3.42.4.1.3.5; TF-3 4.2.2.2).

    Args:
        connection: the registration's transaction.
        submission: with its final ids.
        patient_row: number of its patient.
    """

    def __init__(self, connection: Connection, submission: Submission, patient_row: int) -> None:
        self.connection = connection
        self.submission = submission
        self.patient_row = patient_row
        self.now = dtm_now()
        self.uuids = new_uuids()

    def apply(self) -> Submission:
        """Deprecate, propagate and stamp.

        Returns:
            The submission with the associations the registry adds and the Folders' lastUpdateTime.
        """
        replaced = {a.target: a.source for a in self.submission.associations if a.type in REPLACEMENTS}
        added: list[Association] = []
        if replaced:
            added = list(self._propagate(replaced))
            self._deprecate(self._cascade(set(replaced)))
        associations = (*self.submission.associations, *added)
        self._stamp_registered_folders(associations)
        folders = tuple(replace(folder, last_update_time=self.now) for folder in self.submission.folders)
        return replace(self.submission, associations=associations, folders=folders)

    def _cascade(self, replaced: set[str]) -> set[str]:
        """The replaced documents and, recursively, the Approved transforms of and addenda to them."""
        types = [ASSOCIATION_TYPE_NUMBER[type_] for type_ in (AssociationType.XFRM, AssociationType.APND)]
        reached, frontier = {UUID(id_) for id_ in replaced}, {UUID(id_) for id_ in replaced}
        while frontier:
            dependents = select(_obj.source).where(_association(_obj.target.in_(frontier)), _obj.type.in_(types))
            frontier = set(self.connection.scalars(dependents)) - reached
            reached |= frontier
        return {id_.urn for id_ in reached}

    def _deprecate(self, ids: set[str]) -> None:
        approved = _obj.status == STATUS_NUMBER[AvailabilityStatus.APPROVED]
        change(
            self.connection,
            and_(_obj.id.in_(map(UUID, ids)), approved),
            lambda obj: replace(obj, status=AvailabilityStatus.DEPRECATED),
        )

    def _propagate(self, replaced: dict[str, str]) -> Iterator[Association]:
        """The new document joins the Folders of the one it replaces; the SubmissionSet says so (TF-2 3.42.4.1.3.5)."""
        already = {(a.source, a.target) for a in self.submission.associations if a.is_membership}
        folder = registry_object.alias("folder")
        memberships = self.connection.execute(
            select(_obj.source, _obj.target, folder.c.patient)
            .join(folder, folder.c.id == _obj.source)
            .where(
                _association(_obj.target.in_(map(UUID, replaced))),
                _obj.type == ASSOCIATION_TYPE_NUMBER[AssociationType.HAS_MEMBER],
                folder.c.kind == Kind.FOLDER,
                folder.c.status == STATUS_NUMBER[AvailabilityStatus.APPROVED],
            ),
        )
        for folder_id, old, owner in dict.fromkeys(memberships.tuples()):
            new = replaced[old.urn]
            if owner != self.patient_row:
                raise Refused([_foreign_folder(folder_id.urn, new)])
            if (folder_id.urn, new) in already:
                continue
            already.add((folder_id.urn, new))
            member = self._member(folder_id.urn, new)
            yield member
            yield self._member(self.submission.submission_set.id, member.id)

    def _member(self, source: str, target: str) -> Association:
        id_ = next(self.uuids)
        return Association(
            id=id_,
            lid=id_,
            version="1",
            status=AvailabilityStatus.APPROVED,
            type=AssociationType.HAS_MEMBER,
            source=source,
            target=target,
        )

    def _stamp_registered_folders(self, associations: Iterable[Association]) -> None:
        """A registered Folder that gains a member is updated now (TF-3 4.2.3.4.6)."""
        own = {obj.id for obj in self.submission.packages}
        gaining = {UUID(a.source) for a in associations if a.is_membership and a.source not in own}
        if gaining:
            change(self.connection, _obj.id.in_(gaining), self._updated)

    def _updated(self, obj: RegistryObject) -> RegistryObject:
        return replace(obj, last_update_time=self.now) if isinstance(obj, Folder) else obj


def _foreign_folder(folder_id: str, entry_id: str) -> XDSError:
    return XDSError(
        Code.XDSPatientIdDoesNotMatch,
        f"the Folder {folder_id} holds the replaced document and is another patient's than the new document {entry_id}",
        entry_id,
    )


def change(
    connection: Connection, which: ColumnElement[bool], changed: Callable[[RegistryObject], RegistryObject]
) -> None:
    """Change registered objects: the body as served and the columns that repeat it, together.

    Args:
        connection: an open transaction that holds the patient's lock.
        which: condition on `registry_object`.
        changed: the object as it shall be; only status and lastUpdateTime may differ.
    """
    for id_, packed in connection.execute(select(_obj.id, _obj.body).where(which)).all():
        obj = changed(decode_body(bodies.unpack(packed)))
        connection.execute(
            update(registry_object).where(_obj.id == id_),
            {
                "status": STATUS_NUMBER[obj.status or AvailabilityStatus.APPROVED],
                "last_update_time": obj.last_update_time if isinstance(obj, Folder) else None,
                "body": bodies.pack(rim.encode(obj)),
            },
        )


def decode_body(body: bytes) -> RegistryObject:
    """The model of an object as served."""
    submission, _ = rim.decode_list(
        parse(b'<rim:RegistryObjectList xmlns:rim="%b">%b</rim:RegistryObjectList>' % (RIM.encode(), body))
    )
    return next(submission.objects)


# Step 7


def _write(connection: Connection, submission: Submission, patient_row: int, codes: CodeCache, facts: Facts) -> None:
    objects = tuple(submission.objects)
    numbers = codes.intern(connection, {key for obj in objects for key in code_keys(obj)})
    rows = [row(obj, patient=patient_row, code_ids=numbers, body=bodies.pack(rim.encode(obj))) for obj in objects]
    connection.execute(insert(registry_object), rows)
    connection.execute(insert(unique_identifier), [_identifier(obj, patient_row, facts) for obj in submission.packages])
    coded = [entry for obj in objects for entry in code_rows(obj, patient=patient_row, code_ids=numbers)]
    if coded:
        connection.execute(insert(object_code), coded)


def _identifier(obj: PatientObject, patient_row: int, facts: Facts) -> dict[str, object]:
    earlier = facts.identified.get(obj.unique_id.value if obj.unique_id else "", ())
    return identifier_row(obj, patient=patient_row, ordinal=len(earlier))
