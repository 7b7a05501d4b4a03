"""Retrieve Document Set, ITI-43 (ITI TF-2 3.43.4.1.3, 3.43.4.2.2)."""

from __future__ import annotations

import pytest

from repository.retrieve import SMALL, CheckedStream, DocumentCorrupt
from tests.actors import CALLER
from tests.desk import LARGE, OCTETS, OWN, Desk, read, said, unhashed
from tests.samples import link, new_oid, submission
from tests.stores import MemoryStore
from xds.errors import Code, Status
from xds.messages import DocumentRequest
from xds.metadata.model import Identifier
from xds.metadata.vocabulary import AssociationType

# ITI-43


def test_octets_type_and_identifiers_as_asked_for(desk):
    known = desk.submit(mime_type="application/pdf")
    request = DocumentRequest(OWN, known.unique_id.value, "urn:oid:2.999.5")
    response = desk.ask(request)
    assert (response.status, response.errors) == (Status.SUCCESS, ())
    [found] = response.documents
    assert (found.request, found.mime_type, found.size) == (request, "application/pdf", len(OCTETS))
    assert read(found.content) == OCTETS


def test_order_is_kept_and_doubles_are_answered_once(desk):
    known = [desk.submit(f"{number}".encode()).unique_id.value for number in range(5)]
    order = [known[3], known[1], known[3], known[4], known[1], known[0]]
    response = desk.retrieve(*order)
    assert [each.request.document_unique_id for each in response.documents] == [known[3], known[1], known[4], known[0]]
    assert [read(each.content) for each in response.documents] == [b"3", b"1", b"4", b"0"]


def test_partial_success(desk):
    known = desk.submit().unique_id.value
    response = desk.ask(DocumentRequest(OWN, "1.2.3"), DocumentRequest("2.999.4", known), DocumentRequest(OWN, known))
    assert response.status is Status.PARTIAL
    assert sorted(said(response.errors)) == [
        (Code.XDSDocumentUniqueIdError, "1.2.3"),
        (Code.XDSUnknownRepositoryId, known),
    ]
    assert [read(each.content) for each in response.documents] == [OCTETS]


def test_nothing_found_is_a_failure(desk):
    response = desk.retrieve("1.2.3", known_nowhere := "1.2.4")
    assert response.status is Status.FAILURE
    assert said(response.errors) == [
        (Code.XDSDocumentUniqueIdError, "1.2.3"),
        (Code.XDSDocumentUniqueIdError, known_nowhere),
    ]


@pytest.mark.parametrize("repository", ["", "2.999.1.7", "2.999.1.77.1", "urn:oid:2.999.1.77"])
def test_another_repository(desk, repository):
    known = desk.submit().unique_id.value
    response = desk.retrieve(known, repository=repository)
    assert said(response.errors) == [(Code.XDSUnknownRepositoryId, known)]
    assert repr(repository) in response.errors[0].context


def test_a_unique_id_is_an_exact_string(desk):
    known = desk.submit(unique_id=Identifier(f"{new_oid()}^abc")).unique_id.value
    for other in (known.upper(), known + " ", known.partition("^")[0], known + "%"):
        assert said(desk.retrieve(other).errors) == [(Code.XDSDocumentUniqueIdError, other)]


def test_a_deprecated_document_is_retrieved(desk):
    old = desk.submit(b"old")
    target, new = desk.bench.entry(old.unique_id.value).id, unhashed()
    desk.accept(submission(new, links=(link(new.id, target, AssociationType.RPLC),)), {new.id: b"new"})
    assert desk.octets(old.unique_id.value) == b"old"


@pytest.mark.parametrize("size", [SMALL - 1, SMALL, SMALL + 1, 3 * SMALL + 17])
def test_documents_around_the_size_from_which_they_are_streamed(desk, size):
    known = desk.submit(LARGE[:size])
    assert desk.octets(known.unique_id.value) == LARGE[:size]


def corrupt(desk: Desk, memory: MemoryStore, unique_id: str, octets: bytes) -> None:
    key = desk.row(unique_id)[0]
    memory.objects[key] = octets, memory.objects[key][1]


def test_a_small_document_that_was_changed_in_the_store_is_not_sent(desk, memory):
    good, bad = desk.submit(b"good").unique_id.value, desk.submit(b"bad").unique_id.value
    corrupt(desk, memory, bad, b"BAD")
    response = desk.retrieve(bad, good)
    assert response.status is Status.PARTIAL
    assert said(response.errors) == [(Code.XDSRepositoryError, bad)]
    assert CALLER.message_id in response.errors[0].context
    assert [read(each.content) for each in response.documents] == [b"good"]


@pytest.mark.parametrize("change", [lambda o: o[:-1] + b"x", lambda o: b"x" + o[1:]], ids=["last octet", "first octet"])
def test_a_large_document_that_was_changed_in_the_store_breaks_off(desk, memory, change):
    known = desk.submit(LARGE).unique_id.value
    corrupt(desk, memory, known, change(LARGE))
    [found] = desk.retrieve(known).documents
    sent: list[bytes] = []
    with pytest.raises(DocumentCorrupt):
        sent.extend(iter(lambda: found.content.read(65536), b""))
    assert sum(map(len, sent)) < len(LARGE)


@pytest.mark.parametrize("octets", [LARGE[:-1], LARGE + b"x", b""], ids=["shorter", "longer", "empty"])
def test_a_large_document_of_another_size_is_not_sent(desk, memory, octets):
    known = desk.submit(LARGE).unique_id.value
    corrupt(desk, memory, known, octets)
    assert said(desk.retrieve(known).errors) == [(Code.XDSRepositoryError, known)]


def test_a_document_missing_in_the_store_is_an_error_of_the_repository(desk):
    for octets in (OCTETS, LARGE):
        known = desk.submit(octets).unique_id.value
        desk.store.delete(desk.row(known)[0])
        assert said(desk.retrieve(known).errors) == [(Code.XDSRepositoryError, known)]


def test_a_store_that_is_down_is_told_and_works_again(desk, memory):
    known = desk.submit().unique_id.value
    memory.down = True
    [error] = desk.retrieve(known).errors
    assert (error.code, error.location) == (Code.XDSRepositoryError, known)
    assert "the test switched" not in error.context
    memory.down = False
    assert desk.octets(known) == OCTETS


def test_a_request_for_nothing_is_a_failure(desk):
    response = desk.ask()
    assert (response.documents, response.status) == ((), Status.FAILURE)
    assert [(error.code, error.context) for error in response.errors] == [
        (Code.XDSRepositoryError, "the request names no document (DocumentRequest)")
    ]


def test_many_small_documents_are_not_all_held_in_memory(desk, monkeypatch):
    monkeypatch.setattr("repository.retrieve.AT_ONCE", 3 * len(OCTETS))
    known = [desk.submit().unique_id.value for _ in range(5)]
    documents = desk.retrieve(*known).documents
    assert [isinstance(each.content, CheckedStream) for each in documents] == [False, False, False, True, True]
    assert [read(each.content) for each in documents] == [OCTETS] * 5
