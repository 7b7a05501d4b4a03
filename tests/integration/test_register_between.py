"""ITI-42: what another writer does between the rules and the write of a registration (docs/adr/0008)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from registry import register
from registry.models import code as interned
from registry.models import patient, unique_identifier
from tests.actors import Bench
from tests.samples import PATIENT, code, entry, new_oid, submission, submission_set
from xds import database
from xds.errors import Code
from xds.metadata.model import Identifier

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
