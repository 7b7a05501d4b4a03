"""ITI-42 by many writers at once, on databases that fail: what is registered is consistent (ITI TF-3 4.1.4, 4.2.2)."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from lxml import etree
from sqlalchemy import create_engine, select, text

from registry import bodies
from registry.models import STATUS_NUMBER, registry_object, unique_identifier
from registry.query import QuerySettings
from registry.service import Registry
from tests.actors import CALLER, Bench
from tests.conftest import SERVICE
from tests.samples import entry, folder, link, new_oid, submission, submission_set
from xds import database, sqlite
from xds.ebxml.rim import decode_served
from xds.ebxml.rs import submit_request
from xds.ebxml.schema import validate
from xds.errors import Code, Status
from xds.messages import RegistryResponse
from xds.metadata import affinity
from xds.metadata.model import Association, DocumentEntry, Folder, Identifier, RegistryObject, Submission, SubmissionSet
from xds.metadata.vocabulary import REPLACEMENTS, AssociationType, AvailabilityStatus

APPROVED, DEPRECATED = AvailabilityStatus
RPLC, XFRM, APND = AssociationType.RPLC, AssociationType.XFRM, AssociationType.APND
WRITERS = 20
PATIENTS = [Identifier(f"c{number}^^^&2.999.1.4&ISO") for number in range(5)]
OTHER_SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"


@pytest.fixture(scope="module")
def crowd(module_engine) -> Bench:
    """A registry with several patients."""
    return Bench.make(module_engine, [patient.value for patient in PATIENTS])


def at_once(work: list[Callable[[], RegistryResponse]]) -> list[RegistryResponse]:
    """Do all of it at the same moment, a thread each."""
    barrier = Barrier(len(work))

    def start(one: Callable[[], RegistryResponse]) -> RegistryResponse:
        barrier.wait()
        return one()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(start, work))


def send(bench: Bench, messages: list[Submission]) -> list[RegistryResponse]:
    return at_once([lambda message=message: bench.register(message) for message in messages])


def codes(responses: list[RegistryResponse]) -> Counter[str]:
    return Counter(error.code for response in responses for error in response.errors)


def accepted(responses: list[RegistryResponse]) -> int:
    return sum(response.status is Status.SUCCESS for response in responses)


def of(patient: Identifier, *entries: DocumentEntry, **more) -> Submission:
    return submission(*entries, **{"sset": submission_set(patient_id=patient), **more})


# Invariants


def everything(bench: Bench) -> tuple[dict[str, RegistryObject], dict[str, object]]:
    with bench.engine.connect() as conn:
        rows = {row.id.urn: row for row in conn.execute(select(registry_object))}
    return {id_: decode_served(bodies.unpack(row.body)) for id_, row in rows.items()}, rows


def check_consistent(bench: Bench) -> None:
    objects, rows = everything(bench)
    links = [obj for obj in objects.values() if isinstance(obj, Association)]
    sets = {id_ for id_, obj in objects.items() if isinstance(obj, SubmissionSet)}
    owners = Counter(
        assoc.target for assoc in links if assoc.source in sets and assoc.submission_set_status != "Reference"
    )
    for id_, obj in objects.items():
        if isinstance(obj, DocumentEntry | Folder):
            assert owners[id_] == 1, f"{id_} has {owners[id_]} SubmissionSets"
        if isinstance(obj, Association):
            assert obj.source in objects, "a dangling source"
            assert obj.target in objects, "a dangling target"
            if isinstance(objects[obj.source], Folder):
                assert owners[id_] == 1, "a Folder's member without SubmissionSet"
    _check_statuses(objects, links)
    _check_folders(objects, links)
    for id_, obj in objects.items():
        assert rows[id_].status == STATUS_NUMBER[obj.status]
        assert obj.id == obj.lid == id_
        if isinstance(obj, Folder):
            assert rows[id_].last_update_time == obj.last_update_time
    _check_unique_ids(bench, objects)


def _check_statuses(objects: dict[str, RegistryObject], links: list[Association]) -> None:
    expected = {assoc.target for assoc in links if assoc.type in REPLACEMENTS}
    while True:
        more = {a.source for a in links if a.type in (XFRM, APND) and a.target in expected} - expected
        if not more:
            break
        expected |= more
    found = {id_ for id_, obj in objects.items() if obj.status is DEPRECATED}
    assert found == expected
    replacements = Counter(assoc.target for assoc in links if assoc.type in REPLACEMENTS)
    assert max(replacements.values(), default=1) == 1, "a document was replaced twice"


def _check_folders(objects: dict[str, RegistryObject], links: list[Association]) -> None:
    """Who replaces a member is a member."""
    members = defaultdict(set)
    for assoc in links:
        if isinstance(objects[assoc.source], Folder):
            members[assoc.source].add(assoc.target)
    for assoc in links:
        if assoc.type in REPLACEMENTS:
            for held in members.values():
                assert assoc.target not in held or assoc.source in held


def _check_unique_ids(bench: Bench, objects: dict[str, RegistryObject]) -> None:
    bearers = defaultdict(list)
    for obj in objects.values():
        if not isinstance(obj, Association):
            bearers[obj.unique_id.value].append(obj)
    for value, found in bearers.items():
        if len(found) > 1:
            assert all(isinstance(obj, DocumentEntry) for obj in found), value
            assert len({(obj.hash.lower(), int(obj.size)) for obj in found}) == 1, value
    with bench.engine.connect() as conn:
        listed = [(row.value, row.object.urn) for row in conn.execute(select(unique_identifier))]
    assert sorted(listed) == sorted((obj.unique_id.value, obj.id) for found in bearers.values() for obj in found)


# Threads


def test_twenty_writers_replace_one_document_and_one_wins(crowd):
    old, holder = entry(patient_id=PATIENTS[0]), folder(patient_id=PATIENTS[0])
    crowd.accept(of(PATIENTS[0], old, folders=(holder,), links=(link(holder.id, old.id),)))
    target = crowd.entry(old.unique_id.value).id
    news = [entry(patient_id=PATIENTS[0]) for _ in range(WRITERS)]
    responses = send(crowd, [of(PATIENTS[0], new, links=(link(new.id, target, RPLC),)) for new in news])
    assert accepted(responses) == 1
    assert codes(responses) == {Code.XDSRegistryDeprecatedDocumentError: WRITERS - 1}
    assert all(target in error.context for response in responses for error in response.errors)
    assert len(crowd.find("GetFolderAndContents", XDSFolderUniqueId=holder.unique_id.value).entries) == 2
    check_consistent(crowd)


def test_one_unique_id_with_equal_octets_is_accepted_from_all(crowd):
    taken = Identifier(new_oid())
    patients = [PATIENTS[number % 5] for number in range(WRITERS)]
    responses = send(crowd, [of(patient, entry(unique_id=taken, patient_id=patient)) for patient in patients])
    assert codes(responses) == {}
    assert len(crowd.query("GetDocuments", "ObjectRef", XDSDocumentEntryUniqueId=taken.value).refs) == WRITERS
    check_consistent(crowd)


def test_one_unique_id_with_different_octets_is_accepted_from_one(crowd):
    taken = Identifier(new_oid())
    hashes = [f"{number:040x}" for number in range(WRITERS)]
    patients = [PATIENTS[number % 5] for number in range(WRITERS)]
    messages = [
        of(patient, entry(unique_id=taken, hash=hash_, patient_id=patient))
        for hash_, patient in zip(hashes, patients, strict=True)
    ]
    responses = send(crowd, messages)
    assert accepted(responses) == 1
    assert codes(responses) == {Code.XDSNonIdenticalHash: WRITERS - 1}
    check_consistent(crowd)


def test_one_submission_set_sent_by_all_is_registered_once(crowd):
    taken = Identifier(new_oid())
    messages = [
        submission(
            entry(patient_id=PATIENTS[number % 5]),
            sset=submission_set(unique_id=taken, patient_id=PATIENTS[number % 5]),
        )
        for number in range(WRITERS)
    ]
    responses = send(crowd, messages)
    assert accepted(responses) == 1
    assert codes(responses) == {Code.XDSDuplicateUniqueIdInRegistry: WRITERS - 1}
    check_consistent(crowd)


def test_one_entry_uuid_sent_by_all_is_registered_once(crowd):
    id_ = "urn:uuid:" + "0c6dc2a0-0f6c-4f0a-8b9a-" + new_oid()[-12:]
    messages = [of(PATIENTS[number % 5], entry(id=id_, patient_id=PATIENTS[number % 5])) for number in range(WRITERS)]
    responses = send(crowd, messages)
    assert accepted(responses) == 1
    assert codes(responses) == {Code.XDSRegistryMetadataError: WRITERS - 1}


def test_several_unique_ids_in_any_order_lock_nobody_out(crowd):
    """Two messages that bring the same uniqueIds in opposite order."""
    taken = [Identifier(new_oid()) for _ in range(6)]
    messages = []
    for number in range(WRITERS):
        patient = PATIENTS[number % 5]
        ordered = taken if number % 2 else taken[::-1]
        messages.append(of(patient, *(entry(unique_id=value, patient_id=patient) for value in ordered)))
    assert codes(send(crowd, messages)) == {}
    check_consistent(crowd)


def a_day(bench: Bench, seed: int, steps: int) -> Counter[str]:
    """Submissions as they come, many of them about the same few documents."""
    dice, told = random.Random(seed), Counter()
    for _ in range(steps):
        patient = dice.choice(PATIENTS[:2])
        known = bench.find(
            "FindDocuments", XDSDocumentEntryPatientId=patient.value, XDSDocumentEntryStatus=APPROVED
        ).entries
        holders = bench.find("FindFolders", XDSFolderPatientId=patient.value, XDSFolderStatus=APPROVED).folders
        new = entry(patient_id=patient)
        links, folders = [], ()
        if known:
            links.append(link(new.id, dice.choice(known[:4]).id, dice.choice((RPLC, RPLC, XFRM, APND))))
        if holders and dice.random() < 0.5:
            links.append(link(dice.choice(holders).id, new.id))
        elif dice.random() < 0.2:
            folders = (folder(patient_id=patient),)
            links.append(link(folders[0].id, new.id))
        response = bench.register(of(patient, new, folders=folders, links=tuple(links)))
        told.update(error.code for error in response.errors)
        told[response.status] += 1
    return told


def check_day(told: Counter[str]) -> None:
    """The only refusals are those of the standard for what another writer did first."""
    refusals = {Code.XDSRegistryDeprecatedDocumentError, Code.XDSRegistryMetadataError}  # APND to a transform
    assert set(told) <= refusals | {Status.SUCCESS, Status.FAILURE}
    assert told[Status.SUCCESS]


def test_twenty_writers_for_a_while(crowd):
    with ThreadPoolExecutor(WRITERS) as pool:
        told = sum(pool.map(lambda seed: a_day(crowd, seed, 8), range(WRITERS)), Counter())
    check_day(told)
    check_consistent(crowd)


def _process(url: str, seed: int) -> dict[str, int] | str:
    """A day of five threads; what goes wrong comes back as text, since not every exception can be sent."""
    try:
        with ThreadPoolExecutor(5) as pool:
            bench = Bench.on(database.engine(url))
            return dict(sum(pool.map(lambda n: a_day(bench, seed * 100 + n, 6), range(5)), Counter()))
    except Exception:  # noqa: BLE001 - told by the parent
        return traceback.format_exc()


def test_four_processes_for_a_while(crowd, module_url):
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        answers = pool.starmap(_process, [(module_url, seed) for seed in range(4)])
    assert [answer for answer in answers if isinstance(answer, str)] == []
    check_day(sum(map(Counter, answers), Counter()))
    check_consistent(crowd)


def test_readers_never_see_half_a_submission(crowd):
    """What one query returns is from before or after a registration (E12)."""
    patient = PATIENTS[3]
    holders = [folder(patient_id=patient) for _ in range(12)]
    messages = []
    for holder in holders:
        document = entry(patient_id=patient)
        messages.append(of(patient, document, folders=(holder,), links=(link(holder.id, document.id),)))
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [crowd.accept(message) for message in messages])
        while not writing.done():
            for holder in holders:
                found = crowd.find("GetFolderAndContents", XDSFolderUniqueId=holder.unique_id.value)
                assert len(found.objects) in (0, 3)
        writing.result()


def test_schemas_are_compiled_one_at_a_time(monkeypatch):
    """The first messages of a process may come at once; libxml2 does not lock its table of built-in types."""
    real, inside, most = etree.XMLSchema, [], []

    def slow(**source):
        inside.append(source)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return real(**source)

    monkeypatch.setattr("xds.ebxml.schema.etree.XMLSchema", slow)
    monkeypatch.setattr("xds.ebxml.schema._idle", deque())
    requests = [submit_request(submission(entry())) for _ in range(6)]
    with ThreadPoolExecutor(len(requests)) as pool:
        assert list(pool.map(lambda request: list(validate(request.element)), requests)) == [[]] * len(requests)
    assert len(most) > 1
    assert max(most) == 1


# Databases that fail


def registry_on(url: str, **options) -> Registry:
    return Registry(create_engine(url, **options), affinity.default(), QuerySettings())


def test_a_database_that_is_not_there_is_told_at_once():
    registry = Registry(
        database.engine("postgresql+psycopg://xds:secret@127.0.0.1:9/xds"), affinity.default(), QuerySettings()
    )
    start = time.monotonic()
    response = registry.register(submit_request(submission(entry())), CALLER)
    assert time.monotonic() - start < 10
    [error] = response.errors
    assert error.code == Code.XDSRegistryError
    assert CALLER.message_id in error.context
    for inside in ("secret", "127.0.0.1", "psycopg", "connection", "SELECT"):
        assert inside not in error.context


def test_a_locked_sqlite_database_is_busy_and_then_works(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_MS", 200)
    url = f"sqlite:///{tmp_path}/locked.db"
    bench = Bench.make(database.engine(url))
    other = create_engine(url)
    with other.connect() as conn:
        conn.exec_driver_sql("BEGIN EXCLUSIVE")
        response = bench.register(submission(entry()))
        assert [error.code for error in response.errors] == [Code.XDSRegistryBusy]
        conn.rollback()
    other.dispose()
    bench.accept(submission(entry()))
    bench.engine.dispose()


def test_a_sqlite_file_that_is_gone_is_an_error_of_the_registry(tmp_path):
    bench = Bench(registry_on(f"sqlite:///{tmp_path}/missing/xds.db"))
    [error] = bench.register(submission(entry())).errors
    assert error.code == Code.XDSRegistryError
    assert str(tmp_path) not in error.context


def test_tables_that_are_missing_are_an_error_of_the_registry(tmp_path):
    bench = Bench(registry_on(f"sqlite:///{tmp_path}/empty.db"))
    [error] = bench.register(submission(entry())).errors
    assert error.code == Code.XDSRegistryError
    assert "no such table" not in error.context
    bench.engine.dispose()


def test_connections_that_were_cut_do_not_hurt_the_next_request(crowd, module_url):
    send(crowd, [of(PATIENTS[4], entry(patient_id=PATIENTS[4])) for _ in range(8)])
    _cut(module_url)
    crowd.accept(of(PATIENTS[4], entry(patient_id=PATIENTS[4])))
    _cut(module_url)
    assert crowd.query(
        "FindDocuments", XDSDocumentEntryPatientId=PATIENTS[4].value, XDSDocumentEntryStatus=APPROVED
    ).objects


def _cut(url: str) -> None:
    """End every connection; SQLite has none to end."""
    if not url.startswith("postgresql"):
        return
    other = create_engine(url)
    with other.connect() as conn:
        conn.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    other.dispose()


@pytest.fixture
def own_postgres(tmp_path) -> Iterator[Callable[[str], str]]:
    """A PostgreSQL server of the test's own: `own_postgres("restart")` runs the verb and gives the URL."""
    if not os.environ.get("XDS_TEST_POSTGRES"):
        pytest.skip("XDS_TEST_POSTGRES names no database")
    script = Path(__file__).parents[2] / "tools" / "services.sh"
    environment = {**os.environ, "XDS_SERVICES_DIR": str(tmp_path / "services")}

    def run(verb: str) -> str:
        subprocess.run([script, verb, "postgres"], env=environment, check=True, capture_output=True, timeout=120)
        found = subprocess.run([script, "env", "postgres"], env=environment, check=True, capture_output=True, text=True)
        return found.stdout.partition("XDS_TEST_POSTGRES=")[2].strip()

    yield run
    run("purge")


@SERVICE
def test_a_postgresql_that_was_restarted_works_at_the_next_request(own_postgres):
    bench = Bench.make(database.engine(own_postgres("start")))
    bench.accept(submission(entry()))
    own_postgres("stop")
    [error] = bench.register(submission(entry())).errors
    assert error.code == Code.XDSRegistryError
    own_postgres("start")
    bench.accept(submission(entry()))
    own_postgres("restart")
    bench.accept(submission(entry()))
    own_postgres("kill")
    [error] = bench.query("GetDocuments", XDSDocumentEntryUniqueId="1.2").errors
    assert error.code == Code.XDSRegistryError
    own_postgres("start")
    assert (
        len(
            bench.find(
                "FindDocuments", XDSDocumentEntryPatientId=bench.patients[0], XDSDocumentEntryStatus=APPROVED
            ).entries
        )
        == 3
    )
    bench.engine.dispose()
