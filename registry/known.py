"""What the registry knows of the identifiers in a message: the facts its rules are applied to.

Most messages bring only what is new; of them nothing is looked up, see `nothing`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from sqlalchemy import BindParameter, Connection, bindparam, select

from registry.models import (
    ASSOCIATION,
    ASSOCIATION_TYPE_NUMBER,
    STATUS_NUMBER,
    patient,
    registry_object,
    submitted_part,
)
from registry.rows import model_of
from xds import database
from xds.metadata import rules
from xds.metadata.rules import Identified, Message, Registered
from xds.metadata.vocabulary import AssociationType

_STATUS = {number: status for status, number in STATUS_NUMBER.items()}
_PATIENT = 0  # in place of a Kind
_obj = registry_object.c


class Identifiers:
    """The identifiers of a message.

    Args:
        message: its structure is right.
    """

    def __init__(self, message: Message) -> None:
        self._message = message

    @cached_property
    def patients(self) -> list[str]:
        """The patientIds; of a message without faults, one."""
        return list({value for obj in self._message.submission.packages if (value := rules.patient_of(obj))})

    @cached_property
    def unique_ids(self) -> list[str]:
        """The uniqueIds of DocumentEntries, SubmissionSets and Folders."""
        return [obj.unique_id.value for obj in self._message.submission.packages if obj.unique_id is not None]

    @cached_property
    def own(self) -> set[str]:
        """The UUIDs the message gives its objects."""
        return set(filter(rules.is_uuid, self._message.objects))

    @cached_property
    def referenced(self) -> set[str]:
        """The UUIDs of registered objects its Associations refer to."""
        ends = (end for assoc in self._message.submission.associations for end in (assoc.source, assoc.target))
        return {end for end in ends if end not in self._message.objects and rules.is_uuid(end)}

    @cached_property
    def parts(self) -> set[str]:
        """The UUIDs it gives its Classifications and ExternalIdentifiers."""
        submission = self._message.submission
        parts = (part.id for obj in submission.objects for part in rules.parts(obj))
        sets, folders = submission.submission_sets, submission.folders
        nodes = [obj.node_id for obj in sets] + [obj.node_id for obj in folders]
        return {id_ for id_ in (*parts, *nodes) if id_ is not None and rules.is_uuid(id_)}


@dataclass(frozen=True)
class Known:
    """What is known of a message's identifiers.

    Attributes:
        patients: the patientIds that are known and active.
        identified: who bears a uniqueId, in the order of registration.
        registered: the objects of its UUIDs, its own and those it refers to.
        parts: UUIDs of its parts that others bear already.
    """

    patients: frozenset[str]
    identified: Mapping[str, tuple[Identified, ...]]
    registered: Mapping[str, Registered]
    parts: AbstractSet[str]


def nothing(ids: Identifiers) -> Known:
    """What is assumed of a message that brings only what is new: its patient is known, and nothing else of it."""
    return Known(frozenset(ids.patients), {}, {}, frozenset())


def look_up(connection: Connection, ids: Identifiers) -> Known:
    """Tell what is known of a message's identifiers."""
    patients, identified = _named(connection, ids)
    uuids = ids.own | ids.referenced
    return Known(
        patients,
        identified,
        _registered(connection, uuids) if uuids else {},
        _borne(connection, ids.parts) if ids.parts else frozenset(),
    )


def _named(connection: Connection, ids: Identifiers) -> tuple[frozenset[str], dict[str, tuple[Identified, ...]]]:
    """Patients and bearers of uniqueIds, by one statement."""
    patients: set[str] = set()
    bearers: dict[str, dict[int, Identified]] = {}
    lists = [database.listed(connection, values) for values in (ids.patients, ids.unique_ids)]
    for kind, value, number, hash_, size in database.rows(connection, _NAMED[connection.dialect.name], lists):
        if kind == _PATIENT:
            patients.add(value)
        else:
            bearer = Identified(model_of(kind), None if hash_ is None else hash_.hex(), size)
            bearers.setdefault(value, {})[number] = bearer
    return frozenset(patients), {
        value: tuple(found[number] for number in sorted(found)) for value, found in bearers.items()
    }


def _statement(among: str) -> str:
    return f"""
        SELECT {_PATIENT}, value, 0, NULL, NULL FROM patient WHERE value {among} AND survivor IS NULL
        UNION ALL SELECT kind, value, ordinal, hash, size FROM unique_identifier WHERE value {among}
    """  # noqa: S608 - texts of our own


_NAMED = {dialect: _statement(among) for dialect, among in database.AMONG.items()}


_ids: BindParameter[list[UUID]] = bindparam("ids", expanding=True)
_transform = registry_object.alias()
_REGISTERED = (
    select(
        _obj.id,
        _obj.kind,
        patient.c.value,
        _obj.status,
        _obj.on_demand,
        select(_transform.c.id)
        .where(
            _transform.c.source == _obj.id,
            _transform.c.kind == ASSOCIATION,
            _transform.c.type == ASSOCIATION_TYPE_NUMBER[AssociationType.XFRM],
        )
        .exists(),
    )
    .join(patient, patient.c.id == _obj.patient)
    .where(_obj.id.in_(_ids))
)


def _registered(connection: Connection, uuids: Iterable[str]) -> dict[str, Registered]:
    return {
        id_.urn: Registered(model_of(kind), value, _STATUS[status], bool(on_demand), bool(is_transform))
        for id_, kind, value, status, on_demand, is_transform in connection.execute(_REGISTERED, _uuids(uuids))
    }


_BORNE = (
    select(submitted_part.c.id).where(submitted_part.c.id.in_(_ids)).union(select(_obj.id).where(_obj.id.in_(_ids)))
)


def _borne(connection: Connection, uuids: Iterable[str]) -> set[str]:
    return {id_.urn for id_ in connection.scalars(_BORNE, _uuids(uuids))}


def _uuids(uuids: Iterable[str]) -> dict[str, list[UUID]]:
    return {"ids": list(map(UUID, uuids))}


# Locks


_named_patient = patient.c.value.in_(bindparam("named", expanding=True))
_owner = select(_obj.patient).where(_obj.id.in_(_ids))
_LOCK = (
    select(patient.c.id)
    # By one set of ids, since an OR of the two would read every patient.
    .where(patient.c.id.in_(select(patient.c.id).where(_named_patient).union(_owner)))
    .order_by(patient.c.id)
    .with_for_update(key_share=True)
)


def lock_patients(connection: Connection, ids: Identifiers) -> None:
    """Lock the patients of a message and of what it refers to, in one order, so that no two writers block each other.

    Submissions that change what is registered of a patient follow one another.
    """
    connection.execute(_LOCK, {"named": ids.patients, **_uuids(ids.referenced)})


def lock_identifiers(connection: Connection, ids: Identifiers) -> None:
    """Queue for the identifiers of a message, in one order: the lock of the patient does not part two patients.

    Several share a place in the queue, since PostgreSQL has room for some thousand locks in all. SQLite has a single
    writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        places = sorted(set(map(_place, (*ids.unique_ids, *ids.own, *ids.parts))))
        database.rows(connection, _QUEUE, (places,))


_PLACES = 64
_QUEUE = "SELECT pg_advisory_xact_lock(42, place) FROM unnest(%b::integer[]) AS place"


def _place(value: str) -> int:
    return hashlib.sha256(value.encode()).digest()[0] % _PLACES
