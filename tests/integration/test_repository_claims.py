"""Provide and Register, ITI-41: the registry's answer, races, what crashes leave (docs/conformance.md P10-P12)."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from repository import gc, meant, statements
from repository.models import State, document
from repository.provide import STALE_SECONDS
from repository.storage.contract import new_key
from tests.desk import OCTETS, OWN, Desk, read, said, sha1, unhashed
from tests.samples import entry, new_oid, submission, submission_set
from tests.stores import MemoryStore
from xds.actors import PeerUnavailable
from xds.errors import Code, Refused, Severity, SoapFault, Status, XDSError
from xds.messages import AdhocQuery, AdhocQueryResponse, Caller, RegistryResponse, SubmitObjectsRequest
from xds.metadata.model import DocumentEntry, Identifier

# ITI-41: the registry


NO_ANSWER = (
    PeerUnavailable("https://registry.example:8443 does not answer"),
    SoapFault("Receiver", "internal error"),
)


@pytest.mark.parametrize("error", NO_ANSWER, ids=["unreachable", "fault"])
def test_p10_no_answer_from_the_registry(desk, error):
    desk.registry.fail(error)
    sent = unhashed()
    response = desk.provide(submission(sent), {sent.id: OCTETS})
    assert said(response.errors) == [(Code.XDSRegistryNotAvailable, None)]
    assert len(desk.keys()) == 1, "the outcome is unknown: the octets stay"
    assert desk.row(sent.unique_id.value)[1] == State.PENDING
    refusal = desk.retrieve(sent.unique_id.value)
    assert said(refusal.errors) == [(Code.XDSDocumentUniqueIdError, sent.unique_id.value)]
    again = replace(sent, id="again")
    desk.accept(submission(again), {"again": OCTETS})
    assert len(desk.keys()) == 1
    assert desk.octets(sent.unique_id.value) == OCTETS


def test_a_lost_answer_the_document_is_served_and_a_retry_succeeds(desk):
    desk.registry.lose_answer()
    sent = unhashed()
    response = desk.provide(submission(sent), {sent.id: OCTETS})
    assert said(response.errors) == [(Code.XDSRegistryNotAvailable, None)]
    assert desk.row(sent.unique_id.value)[1] == State.PENDING
    assert desk.octets(sent.unique_id.value) == OCTETS
    assert desk.row(sent.unique_id.value)[1] == State.REGISTERED
    asked = desk.registry.asked
    assert desk.octets(sent.unique_id.value) == OCTETS
    assert desk.registry.asked == asked, "the registry is asked once"
    desk.accept(submission(replace(sent, id="again")), {"again": OCTETS})


def test_a_lost_answer_and_a_retry_before_anybody_asks(desk):
    desk.registry.lose_answer()
    sent = unhashed()
    desk.provide(submission(sent), {sent.id: OCTETS})
    desk.accept(submission(replace(sent, id="again")), {"again": OCTETS})
    assert len(desk.keys()) == 1
    assert desk.row(sent.unique_id.value)[1:3] == (State.REGISTERED, 0)


def test_a_lost_answer_and_a_retry_with_other_octets(desk):
    desk.registry.lose_answer()
    sent = unhashed()
    desk.provide(submission(sent), {sent.id: OCTETS})
    desk.age(sent.unique_id.value)
    response = desk.provide(submission(replace(sent, id="again")), {"again": b"other"})
    assert {error.code for error in response.errors} == {Code.XDSNonIdenticalHash, Code.XDSNonIdenticalSize}
    assert desk.octets(sent.unique_id.value) == OCTETS


def test_a_lost_answer_and_a_registry_that_is_still_down(desk):
    desk.registry.lose_answer()
    sent = unhashed()
    desk.provide(submission(sent), {sent.id: OCTETS})
    desk.registry.down = True
    other = desk.submit(b"another")
    response = desk.retrieve(sent.unique_id.value, other.unique_id.value)
    assert response.status is Status.PARTIAL
    assert said(response.errors) == [(Code.XDSRepositoryError, sent.unique_id.value)]
    assert [read(each.content) for each in response.documents] == [b"another"]
    desk.registry.down = False
    assert desk.octets(sent.unique_id.value) == OCTETS


def test_p11_errors_and_warnings_of_the_registry_are_passed_on_word_for_word(desk):
    warning = XDSError(Code("XDSRegistryBusy"), "slow today", "here", Severity.WARNING)
    desk.registry.answer(XDSError("XDSExtraMetadataNotSaved", "colour", "slot", Severity.WARNING))
    sent = unhashed()
    response = desk.provide(submission(sent), {sent.id: OCTETS})
    assert response.status is Status.SUCCESS
    assert response.errors == (XDSError("XDSExtraMetadataNotSaved", "colour", "slot", Severity.WARNING),)
    assert desk.row(sent.unique_id.value)[1] == State.REGISTERED
    errors = (XDSError("XDSReplaceFailed", "an old code", "assoc1"), warning)
    desk.registry.answer(*errors)
    other = unhashed()
    assert desk.provide(submission(other), {other.id: OCTETS}).errors == errors


def test_11986_errors_of_a_real_registry(desk):
    sent = submission(unhashed(id="one", patient_id=Identifier("nobody^^^&2.999.1.4&ISO"), class_code=None))
    errors = desk.refuse(sent, {"one": OCTETS})
    assert {(error.code, error.location) for error in errors} == {
        (Code.XDSRegistryMetadataError, "one"),
        (Code.XDSUnknownPatientId, "one"),
        (Code.XDSPatientIdDoesNotMatch, "one"),
    }


def test_a_failure_without_errors_is_not_taken_for_success(desk):
    desk.registry.answer(received=Status.FAILURE)
    sent = unhashed()
    response = desk.provide(submission(sent), {sent.id: OCTETS})
    assert response.status is Status.FAILURE
    assert [error.code for error in response.errors] == [Code.XDSRegistryError]
    assert desk.row(sent.unique_id.value)[1] == State.PENDING


def test_p12_a_refused_document_is_removed(desk):
    sent = unhashed()
    desk.refuse(submission(sent, sset=submission_set(patient_id=None)), {sent.id: OCTETS})
    desk.accept(submission(replace(sent, id="again")), {"again": b"now other octets"})


def test_p12_a_refused_document_another_entry_uses_stays(desk):
    known = desk.submit()
    desk.refuse(submission(unhashed(unique_id=known.unique_id, id="one", class_code=None)), {"one": OCTETS})
    assert desk.octets(known.unique_id.value) == OCTETS


def test_p12_a_refused_document_another_submission_waits_for_stays(desk):
    """While the first is at the registry, a second one with the same document joins it; then the first is refused."""
    sent = unhashed()

    def refuse_after_the_other(_request, _caller):
        desk.accept(submission(replace(sent, id="other")), {"other": OCTETS})
        return RegistryResponse((XDSError(Code.XDSRegistryMetadataError, "no"),))

    desk.registry.script.append(refuse_after_the_other)
    assert desk.provide(submission(sent), {sent.id: OCTETS}).status is Status.FAILURE
    assert desk.octets(sent.unique_id.value) == OCTETS


def test_p12_of_two_that_wait_the_last_one_refused_removes(desk):
    sent = unhashed()
    no = RegistryResponse((XDSError(Code.XDSRegistryMetadataError, "no"),))

    def refuse_both(_request, _caller):
        desk.registry.script.append(lambda *_: no)
        assert desk.provide(submission(replace(sent, id="other")), {"other": OCTETS}).status is Status.FAILURE
        assert len(desk.keys()) == 1, "the first still waits"
        return no

    desk.registry.script.append(refuse_both)
    assert desk.provide(submission(sent), {sent.id: OCTETS}).status is Status.FAILURE
    assert desk.keys() == set()
    assert desk.rows() == {}


def test_what_follows_a_confirmation_on_its_connection_waits_for_the_disk_again(desk):
    engine = desk.repository.engine
    desk.submit()
    setting, waits = "PRAGMA synchronous", 2
    if engine.dialect.name == "postgresql":
        setting, waits = "SELECT current_setting('synchronous_commit')", "on"
    with ExitStack() as held:
        connections = [held.enter_context(engine.connect()) for _ in range(4)]
        assert {connection.scalar(text(setting)) for connection in connections} == {waits}


# Races


def test_two_writers_of_one_unique_id_with_different_octets(desk):
    """The octets that are served are those that were registered, whoever was first."""
    for round_ in range(5):
        taken = Identifier(new_oid())
        contents = [f"round {round_}, writer {number:02}".encode() for number in range(8)]
        barrier = Barrier(len(contents))

        def write(octets: bytes, barrier=barrier, taken=taken) -> RegistryResponse:
            sent = unhashed(unique_id=taken)
            barrier.wait()
            return desk.provide(submission(sent), {sent.id: octets})

        with ThreadPoolExecutor(len(contents)) as pool:
            responses = list(pool.map(write, contents))
        winners = [octets for octets, response in zip(contents, responses, strict=True) if not response.errors]
        assert len(winners) == 1
        losers = {error.code for response in responses for error in response.errors}
        assert losers == {Code.XDSNonIdenticalHash}
        assert desk.octets(taken.value) == winners[0]
        assert desk.bench.entry(taken.value).hash == sha1(winners[0])
    assert len(desk.keys()) == 5


def test_many_writers_of_one_unique_id_with_the_same_octets(desk):
    taken, writers = Identifier(new_oid()), 12
    barrier = Barrier(writers)

    def write(_number: int) -> RegistryResponse:
        sent = unhashed(unique_id=taken)
        barrier.wait()
        return desk.provide(submission(sent), {sent.id: OCTETS})

    with ThreadPoolExecutor(writers) as pool:
        responses = list(pool.map(write, range(writers)))
    assert [response.errors for response in responses] == [()] * writers
    assert len(desk.keys()) == 1
    assert desk.octets(taken.value) == OCTETS


def test_refused_and_accepted_writers_of_one_document_at_once(desk):
    """Half of them are refused by the registry; the octets of the others stay."""
    for _ in range(4):
        taken, writers = Identifier(new_oid()), 8
        barrier = Barrier(writers)

        def write(number: int, barrier=barrier, taken=taken) -> RegistryResponse:
            sent = unhashed(unique_id=taken, **({"class_code": None} if number % 2 else {}))
            barrier.wait()
            return desk.provide(submission(sent), {sent.id: OCTETS})

        with ThreadPoolExecutor(writers) as pool:
            responses = list(pool.map(write, range(writers)))
        assert sum(response.status is Status.SUCCESS for response in responses) == writers // 2
        assert desk.octets(taken.value) == OCTETS
        assert desk.row(taken.value)[1:3] == (State.REGISTERED, 0)
    assert {key for key, *_ in desk.rows().values()} == desk.keys()


# Claims that were left behind


def crash(desk: Desk, octets: bytes = b"left behind", **changes: Any) -> DocumentEntry:
    """A submission whose process died after the octets were durable, before the registry had it."""
    sent = unhashed(**changes)
    desk.registry.fail(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        desk.provide(submission(sent), {sent.id: octets})
    assert desk.row(sent.unique_id.value)[1] == State.PENDING
    return sent


def test_a_young_claim_is_not_taken_over(desk):
    left = crash(desk)
    errors = desk.refuse(submission(unhashed(id="one", unique_id=left.unique_id)), {"one": OCTETS})
    assert Code.XDSNonIdenticalHash in {error.code for error in errors}


def test_a_stale_claim_the_registry_does_not_know_is_taken_over(desk):
    left = crash(desk)
    desk.age(left.unique_id.value)
    desk.submit(unique_id=left.unique_id)
    assert desk.octets(left.unique_id.value) == OCTETS
    assert len(desk.keys()) == 1


def test_a_stale_claim_is_kept_while_the_registry_cannot_be_asked(desk):
    left = crash(desk)
    desk.age(left.unique_id.value)
    desk.registry.down = True
    sent = submission(unhashed(id="one"), unhashed(id="two", unique_id=left.unique_id), unhashed(id="three"))
    errors = desk.refuse(sent, {"one": b"1", "two": b"2", "three": b"3"})
    assert {error.code for error in errors} == {Code.XDSRegistryNotAvailable}
    assert {key for key, *_ in desk.rows().values()} == desk.keys()


def test_a_stale_claim_with_the_same_octets_is_joined(desk):
    left = crash(desk, OCTETS)
    desk.age(left.unique_id.value)
    desk.submit(unique_id=left.unique_id)
    assert len(desk.keys()) == 1
    assert desk.row(left.unique_id.value)[1] == State.REGISTERED


def test_a_stale_claim_whose_unique_id_another_repository_registered_with_other_octets_is_not_served(desk):
    left = crash(desk)
    desk.bench.accept(submission(entry(unique_id=left.unique_id, hash=sha1(OCTETS), size=str(len(OCTETS)))))
    assert said(desk.retrieve(left.unique_id.value).errors) == [
        (Code.XDSDocumentUniqueIdError, left.unique_id.value),
    ]
    assert desk.row(left.unique_id.value)[1] == State.PENDING


def test_a_unique_id_with_quotes_is_looked_up(desk):
    taken = Identifier(f"{new_oid()}^O'Brien 'quoted'")
    desk.registry.lose_answer()
    sent = unhashed(unique_id=taken)
    desk.provide(submission(sent), {sent.id: OCTETS})
    assert desk.octets(taken.value) == OCTETS


def test_a_lost_answer_of_a_document_of_two_patients(desk):
    """GetDocuments of two patients answers references only."""
    desk.registry.lose_answer()
    sent = unhashed()
    desk.provide(submission(sent), {sent.id: OCTETS})
    other = Identifier("p2^^^&2.999.1.4&ISO")
    again = entry(
        unique_id=sent.unique_id, patient_id=other, hash=sha1(OCTETS), size=str(len(OCTETS)), repository_unique_id=OWN
    )
    desk.bench.accept(submission(again, sset=submission_set(patient_id=other)))
    assert desk.octets(sent.unique_id.value) == OCTETS


# Claims that are outlived


def late(desk: Desk, sent: DocumentEntry, meanwhile: Callable[[], object]) -> None:
    """The next registration is done, but takes longer than a claim is believed in; others do something meanwhile."""

    def act(request: SubmitObjectsRequest, caller: Caller) -> RegistryResponse:
        desk.age(sent.unique_id.value)
        meanwhile()
        return desk.registry.real.register(request, caller)

    desk.registry.script.append(act)


def taken_over(desk: Desk, left: DocumentEntry) -> None:
    """Another submission, still at the registry, takes a uniqueId for other octets."""
    desk.registry.fail(PeerUnavailable("https://registry.example:8443 does not answer"))
    other = unhashed(unique_id=left.unique_id)
    assert desk.provide(submission(other), {other.id: b"other octets"}).status is Status.FAILURE


def test_a_claim_that_was_taken_over_is_not_confirmed(desk):
    """The octets of the other submission are not what is registered; its source alone has those that are."""
    slow, beside = unhashed(), unhashed()
    late(desk, slow, lambda: taken_over(desk, slow))
    response = desk.provide(submission(slow, beside), {slow.id: OCTETS, beside.id: b"beside"})
    assert response.status is Status.FAILURE
    assert said(response.errors) == [(Code.XDSRepositoryError, slow.unique_id.value)]
    assert desk.bench.entry(slow.unique_id.value).hash == sha1(OCTETS)
    assert desk.row(slow.unique_id.value)[1:] == (State.PENDING, 1, sha1(b"other octets"))
    assert said(desk.retrieve(slow.unique_id.value).errors) == [(Code.XDSDocumentUniqueIdError, slow.unique_id.value)]
    assert desk.octets(beside.unique_id.value) == b"beside"


def test_what_lost_its_claim_is_mended_by_another_submission(desk):
    slow = unhashed()
    late(desk, slow, lambda: taken_over(desk, slow))
    desk.provide(submission(slow), {slow.id: OCTETS})
    desk.age(slow.unique_id.value)
    desk.submit(unique_id=slow.unique_id)
    assert desk.octets(slow.unique_id.value) == OCTETS
    assert {key for key, *_ in desk.rows().values()} == desk.keys()


def test_a_claim_that_was_discarded_is_not_confirmed(desk):
    """Warnings of the registry are told all the same."""
    slow, warning = unhashed(), XDSError(Code.XDSRegistryBusy, "slow today", "here", Severity.WARNING)

    def act(_request: SubmitObjectsRequest, _caller: Caller) -> RegistryResponse:
        desk.age(slow.unique_id.value)
        assert collect(desk).withdrawn == 1
        return RegistryResponse((warning,), Status.SUCCESS)

    desk.registry.script.append(act)
    response = desk.provide(submission(slow), {slow.id: OCTETS})
    assert response.status is Status.FAILURE
    assert response.errors[0] == warning
    assert said(response.errors[1:]) == [(Code.XDSRepositoryError, slow.unique_id.value)]
    assert desk.rows() == {}


def test_an_old_claim_that_nobody_took_over_is_confirmed(desk):
    slow = unhashed()
    late(desk, slow, lambda: None)
    desk.accept(submission(slow), {slow.id: OCTETS})
    assert desk.row(slow.unique_id.value)[1:3] == (State.REGISTERED, 0)


def test_a_claim_that_another_submission_confirmed_first_is_no_trouble(desk):
    slow = unhashed()
    late(desk, slow, lambda: desk.submit(unique_id=slow.unique_id))
    desk.accept(submission(slow), {slow.id: OCTETS})
    assert desk.octets(slow.unique_id.value) == OCTETS


def test_a_claim_made_anew_for_the_same_octets_is_as_good(desk):
    """Discarded by `gc`, brought again by another submission and registered, while the first one still waits."""
    slow = unhashed()

    def again() -> None:
        assert collect(desk).withdrawn == 1
        desk.submit(unique_id=slow.unique_id)

    late(desk, slow, again)
    desk.accept(submission(slow), {slow.id: OCTETS})
    assert desk.octets(slow.unique_id.value) == OCTETS


def test_a_claim_lost_while_the_registry_is_asked_is_not_served(desk, monkeypatch):
    desk.registry.lose_answer()
    sent = unhashed()
    desk.provide(submission(sent), {sent.id: OCTETS})
    real = desk.registry.query

    def query(asked: AdhocQuery, caller: Caller) -> AdhocQueryResponse:
        with desk.repository.engine.begin() as conn:
            conn.execute(update(document).where(document.c.unique_id == sent.unique_id.value).values(key=new_key()))
        return real(asked, caller)

    monkeypatch.setattr(desk.registry, "query", query)
    unique_id = sent.unique_id.value
    assert said(desk.retrieve(unique_id).errors) == [(Code.XDSDocumentUniqueIdError, unique_id)]
    assert desk.row(unique_id)[1] == State.PENDING


# gc


def collect(desk: Desk, *, grace: float = STALE_SECONDS, **more: Any) -> gc.Report:
    return gc.collect(desk.repository.engine, desk.store, desk.registry, grace=timedelta(seconds=grace), **more)


def make_old(desk: Desk, memory: MemoryStore) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=2)
    memory.objects = {key: (octets, long_ago) for key, (octets, _) in memory.objects.items()}


def test_gc_confirms_what_the_registry_knows_and_withdraws_the_rest(desk, memory):
    desk.registry.lose_answer()
    lost = unhashed()
    desk.provide(submission(lost), {lost.id: OCTETS})
    left, young, fine = crash(desk), crash(desk), desk.submit(b"fine")
    orphan = memory.put(io.BytesIO(b"orphan"))
    make_old(desk, memory)
    fresh = memory.put(io.BytesIO(b"under way"))
    for each in (lost, left):
        desk.age(each.unique_id.value)
    before = desk.keys()
    report = collect(desk, dry_run=True)
    assert (report.confirmed, report.withdrawn, report.orphans, report.octets) == (1, 1, 1, 6)
    assert desk.keys() == before
    assert desk.row(lost.unique_id.value)[1] == State.PENDING
    report = collect(desk)
    assert (report.confirmed, report.withdrawn, report.orphans, report.octets) == (1, 1, 1, 6)
    assert desk.row(lost.unique_id.value)[1] == State.REGISTERED
    assert left.unique_id.value not in desk.rows()
    assert young.unique_id.value in desk.rows()
    assert desk.keys() == {fresh.key, *(key for key, *_ in desk.rows().values())}
    assert orphan.key not in memory.objects
    assert desk.octets(fine.unique_id.value) == b"fine"
    assert collect(desk) == gc.Report()


def test_gc_never_works_below_the_time_a_submission_may_take(desk):
    with pytest.raises(ValueError, match=str(STALE_SECONDS)):
        collect(desk, grace=STALE_SECONDS - 1)


def test_gc_removes_nothing_while_the_registry_cannot_be_asked(desk, memory):
    left = crash(desk)
    desk.age(left.unique_id.value)
    make_old(desk, memory)
    desk.registry.down = True
    with pytest.raises(Refused):
        collect(desk)
    assert left.unique_id.value in desk.rows()
    assert len(desk.keys()) == 1


def test_gc_reads_the_table_once_for_many_folders(desk, memory, monkeypatch):
    keys = sorted(new_key() for _ in range(300))
    kept, orphans = {*keys[::2], *EDGES}, set(keys[1::2])
    fill(desk, kept)
    long_ago = datetime.now(UTC) - timedelta(days=2)
    memory.objects = dict.fromkeys(sorted(kept | orphans), (b"octets", long_ago))
    monkeypatch.setattr(meant, "SLICE", 60)
    readings = count_readings(monkeypatch)
    report = collect(desk)
    assert (report.orphans, report.octets) == (150, 900)
    assert desk.keys() == kept
    assert len(readings) == 3, "one for each 60 documents"
    assert collect(desk) == gc.Report()


def test_gc_needs_no_order_of_the_store(desk, memory, monkeypatch):
    keys = [new_key() for _ in range(40)]
    fill(desk, set(keys[::2]))
    memory.objects = dict.fromkeys(keys, (b"octets", datetime.now(UTC) - timedelta(days=2)))
    monkeypatch.setattr(meant, "SLICE", 1)
    assert collect(desk).orphans == 20
    assert desk.keys() == set(keys[::2])


def test_gc_looks_again_before_it_removes(desk, memory, monkeypatch):
    """A submission that arrived slowly claims a document while the store is gone through."""
    orphan, claimed = memory.put(io.BytesIO(b"orphan")).key, memory.put(io.BytesIO(b"claimed")).key
    make_old(desk, memory)

    def listed_slowly():
        yield from tuple(memory.stat(key) for key in (orphan, claimed))
        fill(desk, {claimed})

    monkeypatch.setattr(memory, "list", listed_slowly)
    assert collect(desk).orphans == 1
    assert memory.objects.keys() == {claimed}


EDGES = ("22/" + "2" * 22, "22/" + "z" * 22, "zz/" + "2" * 22, "zz/" + "z" * 22)


def fill(desk: Desk, keys: set[str]) -> None:
    """Let the table mean these keys."""
    same = {"hash": bytes(20), "size": 6, "mime_type": "text/plain", "state": State.REGISTERED, "holders": 0}
    with desk.repository.engine.begin() as conn:
        conn.execute(insert(document), [same | {"unique_id": new_oid(), "key": key, "claimed": 0} for key in keys])


def count_readings(monkeypatch) -> list[str]:
    """The first folders of the slices read."""
    readings: list[str] = []
    real = statements.packed_keys

    def packed_keys(connection, first, end):
        readings.append(first)
        return real(connection, first, end)

    monkeypatch.setattr(statements, "packed_keys", packed_keys)
    return readings


def test_a_message_that_took_too_long_notices_that_its_documents_were_collected(desk, memory, monkeypatch):
    """gc takes the first document for an orphan while the second is still arriving."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            while self.tell() == 0 and not memory.objects:
                time.sleep(0.01)  # another thread stores the first document
            make_old(desk, memory)
            collect(desk)
            monkeypatch.setattr(
                "repository.provide.time.monotonic", lambda clock=time.monotonic: clock() + STALE_SECONDS
            )
            return super().read(size)

    one, two = unhashed(), unhashed()
    response = desk.provide(submission(one, two), {one.id: OCTETS, two.id: Slow(b"late")})
    assert [error.code for error in response.errors] == [Code.XDSRepositoryError]
    assert desk.rows() == {}
    assert desk.registry.seen == []
