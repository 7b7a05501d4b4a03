"""Register Document Set-b, ITI-42 (ITI TF-2 3.42): rules, identifiers, effects; all of it or nothing.

1  the message alone: schema, shape, structure            -> every fault of the phase, nothing else is looked at
2  what the registry knows of the message's ids           (`registry.known`)
3  the rules of content                                   -> every fault, nothing is written
4  ids, lid, version, status
5  effects on what is registered: deprecation, Folder propagation, lastUpdateTime (`registry.effects`)
6  write                                                  (`registry.insert`)

Most messages bring only what is new to a known patient. That is assumed: steps 3 to 5 then need no database, and step 6
writes on condition that it is so, in one short transaction. Any other message, one that refers to what is registered or
has a fault among them, goes through all steps in one transaction that locks the patient first, so that submissions
which change a patient's record follow one another.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from registry.bodies import pack
from registry.codes import CodeCache, Pair, intern
from registry.effects import Effects, stamped
from registry.identity import Assignment, is_ours, new_uuids
from registry.insert import Rows, insert_all
from registry.known import Identifiers, Known, lock_identifiers, lock_patients, look_up, nothing
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
    """One registration: the message, once its structure is found right; its identifiers and its codes."""

    message: Message
    ids: Identifiers
    pairs: AbstractSet[Pair]
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
    message, shape = examination.message, tuple(finding.error for finding in examination.shape)
    pairs = {pair for obj in message.submission.objects for pair in code_keys(obj)}
    return Registration(message, Identifiers(message), pairs, shape, affinity, codes)


class _NewCodes(Exception):  # noqa: N818 - what is the case
    """A message without faults brings codes that have no number yet."""


def register(engine: Engine, registration: Registration) -> None:
    """Steps 2 to 6; what is registered is durable when this returns.

    Raises:
        Refused: every fault of the content; nothing was written.
        SQLAlchemyError: see `database.trouble`.
    """
    numbers = registration.codes.numbers(engine, registration.pairs)
    if _add(engine, registration, numbers):
        return
    try:
        _change(engine, registration, numbers)
    except _NewCodes:
        numbers = database.write(engine, lambda connection: intern(connection, registration.pairs))
        _change(engine, registration, numbers)


def _add(engine: Engine, registration: Registration, numbers: CodeIds) -> bool:
    """Register what is new; tells whether it was, and is now registered."""
    if registration.ids.referenced:
        return False
    try:
        rows = _prepare(registration, nothing(registration.ids), stamped, numbers)
        return database.write_at_once(engine, lambda connection: insert_all(connection, rows))
    except (Refused, _NewCodes, IntegrityError):
        return False


def _change(engine: Engine, registration: Registration, numbers: CodeIds) -> None:
    """Register with the patient locked; after a conflict, writers queue for the message's identifiers as well."""
    attempts = itertools.count()

    def work(connection: Connection) -> None:
        lock_patients(connection, registration.ids)
        if next(attempts):
            lock_identifiers(connection, registration.ids)
        known = look_up(connection, registration.ids)
        rows = _prepare(registration, known, lambda submission: Effects(connection, submission).apply(), numbers)
        if not insert_all(connection, replace(rows, unused=(), unused_parts=())):
            raise AssertionError("a patient was merged away although its row is locked")

    database.write(engine, work)


def _prepare(
    registration: Registration, known: Known, effects: Callable[[Submission], Submission], numbers: CodeIds
) -> Rows:
    """Steps 3 to 5; the identifiers of the message are named as unused.

    Raises:
        Refused: every fault of the content.
        _NewCodes: some code is not in `numbers`.
    """
    message = registration.message
    facts = Facts(
        affinity=registration.affinity,
        patients=known.patients,
        identified=known.identified,
        registered=known.registered,
    )
    faults = [*registration.shape, *rules.check(rules.CONTENT, message, facts)]
    if faults:
        raise Refused(faults)
    used = _used(registration.ids, known)
    ids = Assignment(new_uuids(), used)
    submission = effects(ids.submission(message.submission))
    if registration.pairs - numbers.keys():
        raise _NewCodes
    parts = [UUID(id_) for id_ in sorted(registration.ids.parts - used)]
    return Rows(
        patient=rules.patient_of(message.submission.submission_set) or "",
        unused=registration.ids.unique_ids,
        unused_parts=parts,
        objects=[row(obj, code_ids=numbers, body=pack(rim.encode(obj, ids.part_id))) for obj in submission.objects],
        codes=[coded for obj in submission.objects for coded in code_rows(obj, code_ids=numbers)],
        parts=[{"id": id_} for id_ in parts],
        identifiers=sorted(_identifier_rows(submission, known), key=itemgetter("value")),  # else writers deadlock
    )


def _used(ids: Identifiers, known: Known) -> set[str]:
    """UUIDs that parts of the message bear although others bear them already; they are given new ones."""
    return {*known.parts, *(ids.parts & (ids.own | ids.referenced)), *filter(is_ours, ids.parts)}


def _identifier_rows(submission: Submission, known: Known) -> Iterator[dict[str, Any]]:
    for obj in submission.packages:
        earlier = known.identified.get(obj.unique_id.value if obj.unique_id else "", ())
        yield identifier_row(obj, ordinal=len(earlier))
