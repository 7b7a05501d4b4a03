"""ITI-42: what another writer does between the rules and the write of a registration (docs/adr/0008)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection, select, text, update

from registry import register
from registry.known import lock_identifiers
from registry.models import code as interned
from registry.models import patient, unique_identifier
from tests.actors import Bench
from tests.samples import PATIENT, code, entry, link, new_oid, submission, submission_set
from xds import database
from xds.errors import Code
from xds.metadata.model import Identifier
from xds.metadata.vocabulary import AssociationType

RPLC, APND = AssociationType.RPLC, AssociationType.APND
OTHER_SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"


@pytest.fixture
def meanwhile(bench, monkeypatch) -> Callable[[Callable[[], object]], None]:
    """Let something happen once, between the rules and the write of the next registration."""

    def arrange(event: Callable[[], object]) -> None:
        bench.accept(submission(entry()))  # its codes have their numbers now
        real, pending = register._prepare, [event]

        def prepare(*args):
            rows = real(*args)
            if pending:
                pending.pop()()
            return rows

        monkeypatch.setattr(register, "_prepare", prepare)

    return arrange


def merge_away(bench: Bench) -> None:
    survivor = select(patient.c.id).where(patient.c.value != PATIENT).limit(1).scalar_subquery()
    merged = update(patient).where(patient.c.value == PATIENT).values(survivor=survivor)
    database.write(bench.engine, lambda connection: connection.execute(merged))


def codes_of(bench: Bench, value: str) -> list[str]:
    query = select(interned.c.attribute).where(interned.c.value == value)
    return database.read(bench.engine, lambda connection: list(connection.scalars(query)))


def test_a_submission_set_that_came_first_is_found(bench, meanwhile):
    taken = Identifier(new_oid())
    meanwhile(lambda: bench.accept(submission(entry(), sset=submission_set(unique_id=taken))))
    response = bench.register(submission(entry(), sset=submission_set(unique_id=taken)))
    assert [error.code for error in response.errors] == [Code.XDSDuplicateUniqueIdInRegistry]


def test_a_document_with_other_octets_that_came_first_is_found(bench, meanwhile):
    taken = Identifier(new_oid())
    meanwhile(lambda: bench.accept(submission(entry(unique_id=taken))))
    response = bench.register(submission(entry(unique_id=taken, hash=OTHER_SHA1)))
    assert [error.code for error in response.errors] == [Code.XDSNonIdenticalHash]


def test_the_same_document_that_came_first_is_joined(bench, meanwhile):
    taken = Identifier(new_oid())
    meanwhile(lambda: bench.accept(submission(entry(unique_id=taken))))
    bench.accept(submission(entry(unique_id=taken)))
    assert len(bench.query("GetDocuments", "ObjectRef", XDSDocumentEntryUniqueId=taken.value).refs) == 2


def test_an_entry_uuid_that_came_first_is_found(bench, meanwhile):
    id_ = "urn:uuid:0c6dc2a0-0f6c-4f0a-8b9a-00000000be02"
    meanwhile(lambda: bench.accept(submission(entry(id=id_))))
    response = bench.register(submission(entry(id=id_)))
    assert [error.code for error in response.errors] == [Code.XDSRegistryMetadataError]
    assert id_ in response.errors[0].context


def test_a_patient_that_was_merged_away_is_not_known(bench, meanwhile):
    meanwhile(lambda: merge_away(bench))
    lost = entry()
    response = bench.register(submission(lost))
    assert {error.code for error in response.errors} == {Code.XDSUnknownPatientId}
    stored = select(unique_identifier.c.object).where(unique_identifier.c.value == lost.unique_id.value)
    assert database.read(bench.engine, lambda connection: connection.scalar(stored)) is None
    database.write(bench.engine, lambda connection: connection.execute(update(patient).values(survivor=None)))


def test_new_codes_are_numbered_once_the_rules_have_passed(bench):
    event = code("first seen", "A code nobody has used", "2.999.7")
    bench.refused(submission(entry(event_code_list=(event,), hash="none")))
    assert codes_of(bench, event.key) == []
    bench.accept(submission(entry(event_code_list=(event,))))
    assert codes_of(bench, event.key) == ["eventCodeList"]


def test_what_a_refused_effect_leaves_is_no_code(bench):
    """A replacement and an addendum to the replaced document: only the effects know that this cannot be."""
    old, new, addendum = entry(), entry(), entry()
    bench.accept(submission(old))
    target = bench.entry(old.unique_id.value).id
    event = code("never stored", "A code of a refused message", "2.999.8")
    links = (link(new.id, target, RPLC), link(addendum.id, target, APND))
    response = bench.refused(submission(replace(new, event_code_list=(event,)), addendum, links=links))
    assert {error.code for error in response.errors} == {Code.XDSRegistryDeprecatedDocumentError}
    assert codes_of(bench, event.key) == []


def test_a_message_with_many_identifiers_takes_few_locks(bench):
    ids = SimpleNamespace(unique_ids=[new_oid() for _ in range(5000)], own=set(), parts=set())
    locks = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")

    def work(connection: Connection) -> int:
        lock_identifiers(connection, ids)
        return connection.scalar(locks) if connection.dialect.name == "postgresql" else 0

    assert database.write(bench.engine, work) <= 64
