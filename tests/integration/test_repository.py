"""Provide and Register, ITI-41: pairing, octets, the store (ITI TF-2 3.41.4.1.3; docs/conformance.md P1-P9)."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from repository import statements
from repository.models import State
from repository.storage import Readable, StoredObject, StoreUnavailable
from tests.actors import CALLER
from tests.desk import OCTETS, OWN, message, said, sha1, unhashed
from tests.samples import folder, link, new_oid, submission
from tests.stores import Source
from xds.database import AnyConnection
from xds.ebxml.rs import encode_submit
from xds.ebxml.xdsb import decode_provide, encode_provide
from xds.ebxml.xml import parse
from xds.errors import Code, Status, XDSError
from xds.messages import DocumentRequest, ProvideAndRegister, RegistryResponse, SubmittedDocument
from xds.metadata.model import Identifier, Slot
from xds.metadata.vocabulary import EMPTY_SHA1, AssociationType

# ITI-41: what is accepted


def test_p8_hash_size_and_repository_are_filled_in_and_nothing_else(desk):
    extra = (Slot("urn:example:colour", ("red", " blue ", "")),)
    sent = unhashed(extra_slots=extra)
    desk.accept(submission(sent), {sent.id: OCTETS})
    found = desk.bench.entry(sent.unique_id.value)
    assert (found.hash, found.size, found.repository_unique_id) == (sha1(OCTETS), str(len(OCTETS)), OWN)
    assert found.extra_slots == extra
    assert desk.octets(sent.unique_id.value) == OCTETS


def test_p8_what_the_source_said_of_hash_and_size_is_kept_and_its_repository_is_not(desk):
    sent = unhashed(hash=sha1(OCTETS).upper(), size=f"0{len(OCTETS)}", repository_unique_id="2.999.4")
    desk.accept(submission(sent), {sent.id: OCTETS})
    found = desk.bench.entry(sent.unique_id.value)
    assert (found.hash, found.size, found.repository_unique_id) == (sha1(OCTETS).upper(), f"0{len(OCTETS)}", OWN)


def test_p8_the_order_of_slots_and_unknown_attributes_are_passed_on(desk):
    sent = unhashed(extra_slots=(Slot("urn:b", ("2",)), Slot("urn:a", ("1",))))
    request = message(submission(sent), {sent.id: OCTETS})
    request.submission.element.set("comment", "by the sender")
    desk.repository.provide_and_register(request, CALLER)
    [seen] = desk.registry.seen
    names = seen.element.xpath("//*[local-name()='ExtrinsicObject']/*[local-name()='Slot']/@name")
    assert [name for name in names if name.startswith("urn:") and "ihe" not in name] == ["urn:b", "urn:a"]
    assert seen.element.get("comment") == "by the sender"


def test_p2_an_empty_document_is_a_document(desk):
    sent = desk.submit(b"")
    found = desk.bench.entry(sent.unique_id.value)
    assert (found.hash, found.size) == (EMPTY_SHA1, "0")
    assert desk.octets(sent.unique_id.value) == b""


def test_documents_in_any_order(desk):
    sent = [unhashed() for _ in range(4)]
    documents = {one.id: f"document {number}".encode() for number, one in enumerate(sent)}
    desk.accept(submission(*sent), {sent[number].id: documents[sent[number].id] for number in (3, 1, 0, 2)})
    for one in sent:
        assert desk.octets(one.unique_id.value) == documents[one.id]


def test_a_uuid_is_the_same_in_other_letters(desk):
    upper = "urn:uuid:0C6DC2A0-0F6C-4F0A-8B9A-" + new_oid()[-12:]
    sent = unhashed(id=upper)
    octets = encode_provide(encode_submit(submission(sent)), [(f" {upper.lower()} ", "part@x")])
    provided = decode_provide(parse(octets))
    [(id_, _cid)] = provided.documents
    arriving = iter([SubmittedDocument(id_, io.BytesIO(OCTETS))])
    request = ProvideAndRegister(provided.submission, (id_,), arriving)
    assert desk.repository.provide_and_register(request, CALLER).errors == ()


def test_a_submission_without_documents(desk):
    desk.accept(submission(folders=(folder(),)), {})
    assert desk.rows() == {}


def test_replacing_a_document_keeps_both(desk):
    old = desk.submit(b"first")
    target, new = desk.bench.entry(old.unique_id.value).id, unhashed()
    desk.accept(submission(new, links=(link(new.id, target, AssociationType.RPLC),)), {new.id: b"second"})
    assert (desk.octets(old.unique_id.value), desk.octets(new.unique_id.value)) == (b"first", b"second")


def test_p6_the_same_octets_again_are_kept_once(desk):
    first = desk.submit()
    keys = desk.keys()
    desk.submit(unique_id=first.unique_id)
    assert desk.keys() == keys
    assert len(desk.bench.find("GetDocuments", XDSDocumentEntryUniqueId=first.unique_id.value).entries) == 2


def test_equal_octets_of_two_unique_ids_are_two_documents(desk):
    one, two = unhashed(), unhashed()
    desk.accept(submission(one, two), {one.id: OCTETS, two.id: OCTETS})
    assert len(desk.keys()) == 2


# ITI-41: what is refused


def test_p2_an_entry_without_document(desk):
    sent, other = unhashed(id="one"), unhashed(id="two")
    errors = desk.refuse(submission(sent, other), {"one": OCTETS})
    assert said(errors) == [(Code.XDSMissingDocument, "two")]
    assert "'two'" in errors[0].context


def test_p3_a_document_without_entry(desk):
    errors = desk.refuse(submission(unhashed(id="one")), {"one": OCTETS, "two": OCTETS})
    assert said(errors) == [(Code.XDSMissingDocumentMetadata, "two")]


def test_p3_one_document_id_twice(desk):
    errors = desk.refuse(submission(unhashed(id="one")), {"one": OCTETS}, ids=("one", "one"))
    assert said(errors) == [(Code.XDSMissingDocumentMetadata, "one")]


def test_ids_that_differ_in_case_are_two(desk):
    errors = desk.refuse(submission(unhashed(id="one")), {"One": OCTETS})
    assert said(errors) == [(Code.XDSMissingDocumentMetadata, "One"), (Code.XDSMissingDocument, "one")]


def test_a_document_whose_part_did_not_arrive(desk):
    sent = submission(unhashed(id="one"), unhashed(id="two"))
    errors = desk.refuse(sent, {"one": OCTETS, "two": OCTETS}, arrived=["one"], broken={"two": "no part <x@y>"})
    assert said(errors) == [(Code.XDSMissingDocument, "two")]
    assert "no part <x@y>" in errors[0].context


def test_a_document_that_cannot_be_decoded_is_missing(desk):
    class Undecodable:
        def read(self, _size: int = -1) -> bytes:
            raise XDSError(Code.XDSMissingDocument, "'%%%' is no base64")

    sent = submission(unhashed(id="one"), unhashed(id="two"))
    errors = desk.refuse(sent, {"one": Undecodable(), "two": OCTETS})
    assert said(errors) == [(Code.XDSMissingDocument, "one")]
    assert "'%%%' is no base64" in errors[0].context


def test_a_sender_that_goes_away_leaves_nothing(desk):
    one, two = unhashed(), unhashed()
    with pytest.raises(ConnectionResetError):
        desk.provide(submission(one, two), {one.id: OCTETS, two.id: Source(10**6, fail_at=5 * 10**5)})
    assert desk.keys() == set()
    assert desk.rows() == {}


def test_p4_hash_and_size_must_be_those_of_the_octets(desk):
    wrong = unhashed(id="one", hash=sha1(b"other"), size="5")
    errors = desk.refuse(submission(wrong), {"one": OCTETS})
    assert said(errors) == [(Code.XDSRepositoryMetadataError, "one")] * 2
    assert sha1(b"other") in errors[0].context
    assert sha1(OCTETS) in errors[0].context
    assert f"{len(OCTETS)} octets" in errors[1].context


@pytest.mark.parametrize("size", ["-9", "x", "1e3", "\u0669", "9" * 300])
def test_p4_a_size_that_is_no_number(desk, size):
    errors = desk.refuse(submission(unhashed(id="one", size=size)), {"one": OCTETS})
    assert said(errors) == [(Code.XDSRepositoryMetadataError, "one")]


def test_p5_one_unique_id_twice(desk):
    taken = Identifier(new_oid())
    sent = submission(unhashed(id="one", unique_id=taken), unhashed(id="two", unique_id=taken))
    errors = desk.refuse(sent, {"one": OCTETS, "two": OCTETS})
    assert said(errors) == [(Code.XDSRepositoryDuplicateUniqueIdInMessage, taken.value)]


def test_p6_other_octets_under_a_known_unique_id(desk):
    known = desk.submit()
    errors = desk.refuse(submission(unhashed(id="one", unique_id=known.unique_id)), {"one": b"other"})
    assert said(errors) == [
        (Code.XDSNonIdenticalHash, known.unique_id.value),
        (Code.XDSNonIdenticalSize, known.unique_id.value),
    ]
    assert desk.octets(known.unique_id.value) == OCTETS


def test_p6_others_of_the_message_are_not_kept_either(desk):
    known = desk.submit()
    sent = submission(unhashed(id="one"), unhashed(id="two", unique_id=known.unique_id))
    desk.refuse(sent, {"one": b"new", "two": b"other"})


def test_an_entry_without_unique_id(desk):
    errors = desk.refuse(submission(unhashed(id="one", unique_id=None)), {"one": OCTETS})
    assert said(errors) == [(Code.XDSRepositoryMetadataError, "one")]


def test_a_unique_id_no_database_could_hold_is_refused_before_anything_is_stored(desk):
    sent = unhashed(id="one", unique_id=Identifier("2.999." + "7" * 9000))
    errors = desk.provide(submission(sent), {"one": OCTETS}).errors
    assert said(errors) == [(Code.XDSRepositoryMetadataError, "one")]
    assert "9006 characters, at most 256 are allowed" in errors[0].context
    assert desk.keys() == set()


def test_several_faults_are_all_named(desk):
    taken = Identifier(new_oid())
    sent = submission(
        unhashed(id="one", unique_id=taken), unhashed(id="two", unique_id=taken), unhashed(id="three", unique_id=None)
    )
    errors = desk.refuse(sent, {"one": OCTETS, "two": OCTETS, "four": OCTETS})
    assert {code for code, _ in said(errors)} == {
        Code.XDSMissingDocument,
        Code.XDSMissingDocumentMetadata,
        Code.XDSRepositoryMetadataError,
        Code.XDSRepositoryDuplicateUniqueIdInMessage,
    }


def test_p7_a_document_over_the_limit(desk):
    desk.repository.limit = 100
    errors = desk.refuse(submission(unhashed(id="one")), {"one": Source(101)})
    assert said(errors) == [(Code.XDSRepositoryOutOfResources, "one")]
    assert "100" in errors[0].context
    sent = unhashed()
    desk.accept(submission(sent), {sent.id: Source(100)})


# ITI-41: the store or the database fails


def test_p9_the_store_is_full(desk, memory):
    memory.room = 10
    errors = desk.refuse(submission(unhashed(id="one"), unhashed(id="two")), {"one": b"12345", "two": b"12345678901"})
    assert said(errors) == [(Code.XDSRepositoryOutOfResources, "two")]
    memory.room = None
    desk.submit()


def test_p9_the_store_is_down(desk, memory):
    memory.down = True
    response = desk.provide(submission(unhashed(id="one")), {"one": OCTETS})
    assert said(response.errors) == [(Code.XDSRepositoryError, "one")]
    assert CALLER.message_id in response.errors[0].context
    assert "the test switched" not in response.errors[0].context
    memory.down = False
    desk.submit()


def test_p9_of_several_documents_one_is_not_taken(desk, memory, monkeypatch):
    """Wherever it stands in the message: it is named, and nothing of the others stays."""
    real = memory.put

    def put(stream: Readable, *, limit: int | None = None) -> StoredObject:
        stored = real(stream, limit=limit)
        if stored.size == len(b"the one"):
            memory.delete(stored.key)
            raise StoreUnavailable("not this one")
        return stored

    monkeypatch.setattr(memory, "put", put)
    ids = [f"doc{number}" for number in range(12)]
    for bad in (ids[0], ids[5], ids[-1]):
        documents = {id_: b"the one" if id_ == bad else id_.encode() for id_ in ids}
        errors = desk.refuse(submission(*(unhashed(id=id_) for id_ in ids)), documents)
        assert said(errors) == [(Code.XDSRepositoryError, bad)]
    sent = {id_: unhashed(id=id_) for id_ in ids}
    desk.accept(submission(*sent.values()), {id_: id_.encode() for id_ in ids})
    assert {id_: desk.octets(one.unique_id.value).decode() for id_, one in sent.items()} == dict(
        zip(ids, ids, strict=True)
    )


def test_the_store_goes_down_while_a_refusal_is_cleaned_up(desk, memory):
    def refuse(_request, _caller):
        memory.down = True
        return RegistryResponse((XDSError(Code.XDSRegistryMetadataError, "no"),))

    desk.registry.script.append(refuse)
    sent = unhashed()
    response = desk.provide(submission(sent), {sent.id: OCTETS})
    assert said(response.errors) == [(Code.XDSRegistryMetadataError, None)]
    memory.down = False
    assert desk.rows() == {}
    assert len(desk.keys()) == 1, "an orphan, for gc"


def test_the_repositorys_database_is_down(desk, memory):
    broken = replace(desk.repository, engine=create_engine("sqlite:////nonexistent/directory/xds.db"))
    sent = unhashed()
    response = broken.provide_and_register(message(submission(sent), {sent.id: OCTETS}), CALLER)
    assert [error.code for error in response.errors] == [Code.XDSRepositoryError]
    assert "nonexistent" not in response.errors[0].context
    assert desk.registry.seen == []
    found = broken.retrieve(
        [DocumentRequest(OWN, "1.2"), DocumentRequest(OWN, "1.3"), DocumentRequest("9", "1.4")], CALLER
    )
    assert sorted(said(found.errors)) == [
        (Code.XDSRepositoryError, "1.2"),
        (Code.XDSRepositoryError, "1.3"),
        (Code.XDSUnknownRepositoryId, "1.4"),
    ]


def test_a_claim_whose_commit_was_not_answered_is_never_left_without_octets(desk, monkeypatch):
    """The database commits and the connection is lost: the claim may be there, then its octets must be, too."""
    sent = unhashed()

    insert = statements.insert

    def lose(connection: AnyConnection, *rows: Any) -> None:
        monkeypatch.setattr(statements, "insert", insert)
        insert(connection, *rows)
        connection.connection.driver_connection.commit()
        raise OperationalError("COMMIT", {}, Exception("connection lost"), connection_invalidated=True)

    monkeypatch.setattr(statements, "insert", lose)
    response = desk.provide(submission(sent), {sent.id: OCTETS})
    assert response.status is Status.FAILURE
    [(key, state, *_)] = desk.rows().values()
    assert state == State.PENDING
    assert desk.keys() == {key}
    desk.accept(submission(replace(sent, id="again")), {"again": OCTETS})
    assert desk.octets(sent.unique_id.value) == OCTETS
