"""Register Document Set-b, ITI-42 (ITI TF-2 3.42): rules, identifiers, effects; all of it or nothing.

1  the message alone: schema, shape, structure            -> every fault of the phase, nothing else is looked at
2  look up what the registry knows of the message's ids   (`registry.known`)
3  the rules of content                                   -> every fault, nothing is written
4  ids, lid, version, status
5  effects on what is registered: deprecation, Folder propagation, lastUpdateTime (`registry.effects`)
6  write                                                  (`registry.insert`)

A message that brings only what is new holds no lock while it is examined: steps 2 to 5 read, step 6 is one short
transaction, in which the keys of the tables tell whether another writer was first. A message that refers to what is
registered locks the patient first and does steps 2 to 6 in one transaction, so that submissions which change a
patient's record follow one another.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from registry.bodies import pack
from registry.codes import CodeCache, NewCodes, intern
from registry.effects import Effects
from registry.identity import Assignment, is_ours, new_uuids
from registry.insert import PatientGone, Rows, insert_all
from registry.known import Identifiers, Known, lock_identifiers, lock_patients, look_up
from registry.rows import CodeIds, code_keys, code_rows, identifier_row, row
from xds import database
from xds.ebxml import rim
from xds.errors import Refused, XDSError
from xds.messages import SubmitObjectsRequest
from xds.metadata import rules
from xds.metadata.affinity import AffinityDomain
from xds.metadata.model import Submission
from xds.metadata.rules import Facts, Message
from xds.validation.submission import examine as examine_submission


@dataclass(frozen=True)
class Registration:
    """One registration: the message, once its structure is found right."""

    message: Message
    ids: Identifiers
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
    return Registration(examination.message, Identifiers(examination.message), shape, affinity, codes)


def register(engine: Engine, registration: Registration) -> None:
    """Steps 2 to 6; what is registered is durable when this returns.

    Raises:
        Refused: every fault of the content; nothing was written.
        SQLAlchemyError: see `database.trouble`.
    """
    while True:
        try:
            if registration.ids.referenced or not _add(engine, registration):
                _change(engine, registration)
        except NewCodes as new:  # of a message without faults
            database.write(engine, lambda connection, pairs=new.pairs: intern(connection, pairs))  # type: ignore[misc]
        else:
            return


def _add(engine: Engine, registration: Registration) -> bool:
    """Register what is new; tells whether no other writer came between."""
    rows = database.read(engine, lambda connection: _prepare(connection, registration))
    try:
        database.write_at_once(engine, lambda connection: insert_all(connection, rows))
    except (IntegrityError, PatientGone):
        return False
    return True


def _change(engine: Engine, registration: Registration) -> None:
    """Register with the patient locked; after a conflict, writers queue for the message's identifiers as well."""
    attempts = itertools.count(0 if registration.ids.referenced else 1)

    def work(connection: Connection) -> None:
        lock_patients(connection, registration.ids)
        if next(attempts):
            lock_identifiers(connection, registration.ids)
        insert_all(connection, _prepare(connection, registration))

    database.write(engine, work)


def _prepare(connection: Connection, registration: Registration) -> Rows:
    """Steps 2 to 5.

    Raises:
        Refused: every fault of the content.
        NewCodes: a code of it has no number yet.
    """
    message, known = registration.message, look_up(connection, registration.ids)
    facts = Facts(
        affinity=registration.affinity,
        patients=frozenset(known.patients),
        identified=known.identified,
        registered=known.registered,
    )
    faults = [*registration.shape, *rules.check(rules.CONTENT, message, facts)]
    if faults:
        raise Refused(faults)
    numbers = registration.codes.numbers(
        connection, {key for obj in message.submission.objects for key in code_keys(obj)}
    )
    patient = known.patients[rules.patient_of(message.submission.submission_set) or ""]
    used = _used(registration.ids, known)
    ids = Assignment(new_uuids(), used)
    submission = Effects(connection, ids.submission(message.submission), patient).apply()
    return Rows(
        patient,
        [
            row(obj, patient=patient, code_ids=numbers, body=pack(rim.encode(obj, ids.part_id)))
            for obj in submission.objects
        ],
        list(_code_rows(submission, patient, numbers)),
        [{"id": UUID(id_)} for id_ in sorted(registration.ids.parts - used)],
        sorted(_identifier_rows(submission, patient, known), key=itemgetter("value")),  # else writers deadlock
    )


def _used(ids: Identifiers, known: Known) -> set[str]:
    """UUIDs that parts of the message bear although others bear them already; they are given new ones."""
    return {*known.parts, *(ids.parts & (ids.own | ids.referenced)), *filter(is_ours, ids.parts)}


def _code_rows(submission: Submission, patient: int, numbers: CodeIds) -> Iterator[dict[str, Any]]:
    for obj in submission.objects:
        yield from code_rows(obj, patient=patient, code_ids=numbers)


def _identifier_rows(submission: Submission, patient: int, known: Known) -> Iterator[dict[str, Any]]:
    for obj in submission.packages:
        earlier = known.identified.get(obj.unique_id.value if obj.unique_id else "", ())
        yield identifier_row(obj, patient=patient, ordinal=len(earlier))
