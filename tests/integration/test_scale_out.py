"""Two registries and two repositories behind load balancers, on one PostgreSQL and one S3: the actors keep no state.

Real processes and mutual TLS; clients keep their connections, and know the balancers only. What is shown: every answer
is right whoever gives it, one of several writers on several machines wins, a machine that dies takes nothing along, and
a rolling restart is not noticed.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from threading import Barrier, Event
from typing import Self, TypeVar

import pytest
from sqlalchemy import select, text

from repository.models import State, document
from repository.storage import open_store
from tests import samples
from tests.actors import Bench
from tests.balancer import Balancer
from tests.conftest import create_database, drop_database
from tests.integration.test_register_concurrency import check_consistent
from tests.stack import REPOSITORY_UNIQUE_ID, Server, Stack, free_port, s3_url, start_balanced
from xds import database
from xds.actors import PeerUnavailable
from xds.cli import main
from xds.client import RegistryClient, RepositoryClient
from xds.commands import ask
from xds.ebxml.rs import submit_request
from xds.errors import Code, Status
from xds.messages import Caller, DocumentRequest, ProvideAndRegister, RegistryResponse, SubmittedDocument
from xds.metadata.model import DocumentEntry, Identifier
from xds.metadata.vocabulary import AssociationType, AvailabilityStatus
from xds.soap.transport import SoapTransport
from xds.transactions import Actor

pytestmark = pytest.mark.service

T = TypeVar("T")
CALLER = Caller("test")
RPLC = AssociationType.RPLC
APPROVED, DEPRECATED = AvailabilityStatus
THREADS, CLIENTS, RIVALS = 12, 3, 10
PATIENTS = [f"s{number}^^^&2.999.1.4&ISO" for number in range(4 * THREADS)]
RACERS = [f"r{number}^^^&2.999.1.4&ISO" for number in range(RIVALS)]
_patients = iter(PATIENTS)


class Source:
    """A source and consumer with several kept-alive connections.

    Args:
        stack: whose certificates are used.
        urls: of the actors; the balancers' if None.
    """

    def __init__(self, stack: Stack, urls: dict[Actor, str] | None = None) -> None:
        urls = urls or stack.urls
        self.transport = SoapTransport(stack.client_context(), connections=THREADS // CLIENTS)
        self.registry = RegistryClient(self.transport, urls[Actor.REGISTRY])
        self.repository = RepositoryClient(self.transport, urls[Actor.REPOSITORY])

    def submit(self, entry: DocumentEntry, octets: bytes, replaces: str | None = None) -> RegistryResponse:
        """ITI-41 of one document."""
        links = () if replaces is None else (samples.link(entry.id, replaces, RPLC),)
        sset = samples.submission_set(patient_id=entry.patient_id)
        documents = iter([SubmittedDocument(entry.id, io.BytesIO(octets))])
        request = ProvideAndRegister(
            submit_request(samples.submission(entry, links=links, sset=sset)), (entry.id,), documents
        )
        return self.repository.provide_and_register(request, CALLER)

    def find(self, unique_id: str) -> list[DocumentEntry]:
        """ITI-18, GetDocuments."""
        return ask.by_unique_id(self.registry, [unique_id])

    def of_patient(self, patient: str) -> dict[str, str]:
        """ITI-18, FindDocuments: uniqueId -> status."""
        parameters = [("$XDSDocumentEntryPatientId", [patient]), ("$XDSDocumentEntryStatus", [APPROVED, DEPRECATED])]
        found = ask.find_all(self.registry, "FindDocuments", parameters)
        return {entry.unique_id.value: entry.status for entry in found}

    def fetch(self, unique_id: str) -> bytes:
        """ITI-43."""
        answer = self.repository.retrieve([DocumentRequest(REPOSITORY_UNIQUE_ID, unique_id)], CALLER)
        assert not answer.errors
        [found] = answer.documents
        try:
            return found.content.read()
        finally:
            found.content.close()


@dataclass
class Region:
    """All of it."""

    stack: Stack
    balancers: dict[Actor, Balancer]
    ports: dict[Actor, list[int]]
    bench: Bench

    def server(self, actor: Actor, number: int) -> Server:
        """The first or second server of an actor."""
        return [server for server in self.stack.servers if server.actor == actor][number - 1]

    def at(self, number: int) -> Source:
        """A source that talks to the servers of one machine, past the balancers."""
        urls = {actor: f"https://localhost:{ports[number - 1]}/{actor}" for actor, ports in self.ports.items()}
        return Source(self.stack, urls)

    def documents(self) -> list[tuple[str, str]]:
        """uniqueId and hash of all DocumentEntries."""
        query = "SELECT value, encode(hash, 'hex') FROM unique_identifier WHERE kind = 1"
        with self.bench.engine.connect() as conn:
            return [(value, hash_) for value, hash_ in conn.execute(text(query))]

    def rows(self) -> dict[str, tuple[str, int]]:
        """Key and state of the repository's documents."""
        with self.bench.engine.connect() as conn:
            return {
                unique_id: (key, state)
                for unique_id, key, state in conn.execute(
                    select(document.c.unique_id, document.c.key, document.c.state)
                )
            }

    def objects(self) -> dict[str, int]:
        """Key and size of what the store holds."""
        store = open_store(self.stack.store)
        try:
            return {info.key: info.size for info in store.list()}
        finally:
            store.close()

    def check(self) -> None:
        """Nothing is registered without its octets, from either repository, and the registry is consistent."""
        check_consistent(self.bench)
        sources = [self.at(1), self.at(2)]
        for number, (unique_id, hash_) in enumerate(self.documents()):
            assert hashlib.sha1(sources[number % 2].fetch(unique_id)).hexdigest() == hash_


@pytest.fixture(scope="module")
def region(tmp_path_factory, pki) -> Iterator[Region]:
    """Two servers of each actor behind a balancer for each."""
    url = create_database()
    balanced = {actor: free_port() for actor in Actor}
    ports = {actor: [free_port(), free_port()] for actor in Actor}
    with ExitStack() as closing:
        closing.callback(drop_database, url)
        balancers = {actor: closing.enter_context(Balancer(balanced[actor], ports[actor])) for actor in Actor}
        directory = tmp_path_factory.mktemp("region") / "stack"
        stack = start_balanced(directory, pki, balanced, ports, database=url, store=s3_url())
        closing.callback(stack.clean)
        closing.callback(stack.stop)
        yield Region(stack, balancers, ports, Bench.on(database.engine(url), [*PATIENTS, *RACERS]))
        database.engine(url).dispose()


def new_entry(patient: str) -> DocumentEntry:
    """As a source sends it that leaves hash, size and repository to us."""
    return samples.entry(hash=None, size=None, repository_unique_id=None, patient_id=Identifier(patient))


def eventually(condition: Callable[[], T], seconds: float = 60) -> T:
    """Wait until something is the case."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)
    return found


# Everybody at once


@dataclass
class Load:
    """Threads that submit, query, retrieve and replace, each for a patient of its own, and look at every answer.

    Attributes:
        region: where.
        tries_again: whether a source does so when the connection breaks off, asking first whether it was filed.
        filed: uniqueId -> octets, as acknowledged.
        broken: requests that got no answer.
        wrong: what a thread died of.
    """

    region: Region
    tries_again: bool = False
    filed: dict[str, bytes] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    wrong: list[BaseException] = field(default_factory=list)
    _ended: Event = field(default_factory=Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        clients = [Source(self.region.stack) for _ in range(CLIENTS)]
        for number in range(THREADS):
            patient, client = next(_patients), clients[number % CLIENTS]
            self._threads.append(threading.Thread(target=self._run, args=(client, patient), daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
        for error in self.wrong:
            raise error

    def goes_on(self, rounds: int = 2) -> None:
        """Wait until all threads together have filed so many more each."""
        enough = len(self.filed) + rounds * THREADS
        eventually(lambda: self.wrong or len(self.filed) >= enough)

    def _run(self, client: Source, patient: str) -> None:
        mine: dict[str, str] = {}
        try:
            while not self._ended.is_set():
                self._day(client, patient, mine)
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self.wrong.append(error)

    def _day(self, client: Source, patient: str, mine: dict[str, str]) -> None:
        """File a document, every third time in the place of the one before; look at what is told of all."""
        before = list(mine)[-1] if len(mine) % 3 == 2 else None
        entry, octets = new_entry(patient), random.randbytes(random.choice([200, 10_000, 300_000]))
        unique_id = entry.unique_id.value
        self._file(client, entry, octets, before)
        mine[unique_id] = APPROVED
        if before:
            mine[before] = DEPRECATED
        found = self._ask(lambda: client.find(unique_id))
        assert {(each.hash, each.size) for each in found} == {(hashlib.sha1(octets).hexdigest(), str(len(octets)))}
        assert self._ask(lambda: client.of_patient(patient)) == mine
        self.filed[unique_id] = octets
        for each in (unique_id, random.choice(list(mine))):
            assert self._ask(lambda each=each: client.fetch(each)) == self.filed[each]

    def _file(self, client: Source, entry: DocumentEntry, octets: bytes, before: str | None) -> None:
        target = self._ask(lambda: client.find(before))[0].id if before else None
        for again in itertools.count():
            try:
                response = client.submit(entry, octets, target)
            except PeerUnavailable as error:
                self._lost(error)
                time.sleep(1)  # what the repository had sent on comes to its end
            else:
                if not again:
                    assert response.errors == ()
                return
            if self._ask(lambda: client.find(entry.unique_id.value)):
                return

    def _ask(self, question: Callable[[], T]) -> T:
        while True:
            try:
                return question()
            except PeerUnavailable as error:
                self._lost(error)

    def _lost(self, error: PeerUnavailable) -> None:
        self.broken.append(str(error))
        if not self.tries_again:
            raise error


def test_every_answer_is_right_whoever_gives_it(region):
    with Load(region) as load:
        load.goes_on(4)
    assert load.broken == []
    for balancer in region.balancers.values():
        assert len(balancer.served) == 2, "both servers were asked"
    region.check()
    assert {state for _, state in region.rows().values()} == {State.REGISTERED}
    one, other = region.at(1), region.at(2)
    for unique_id, octets in random.sample(list(load.filed.items()), 10):
        assert one.find(unique_id) == other.find(unique_id)
        assert one.fetch(unique_id) == other.fetch(unique_id) == octets


# Races from machine to machine


def at_once(region: Region, work: Callable[[Source, int], RegistryResponse]) -> list[RegistryResponse]:
    """Do it RIVALS times at the same moment, half of it on either machine, each over a connection of its own."""
    barrier = Barrier(RIVALS)
    sources = [region.at(1 + number % 2) for number in range(RIVALS)]

    def start(number: int) -> RegistryResponse:
        sources[number].find("1.2.3")  # the connection stands
        barrier.wait()
        return work(sources[number], number)

    with ThreadPoolExecutor(RIVALS) as pool:
        return list(pool.map(start, range(RIVALS)))


def verdicts(responses: list[RegistryResponse]) -> tuple[int, Counter[str]]:
    """How many were accepted, and why the others were not."""
    accepted = sum(response.status is Status.SUCCESS for response in responses)
    return accepted, Counter(error.code for response in responses for error in response.errors)


def check_nothing_is_left(region: Region) -> None:
    """Every object of the store is meant by a registered document, and the other way round."""
    assert {key for key, _ in region.rows().values()} == set(region.objects())
    assert {state for _, state in region.rows().values()} == {State.REGISTERED}


def test_one_unique_id_with_equal_octets_is_stored_once_and_accepted_from_all(region):
    taken, octets = Identifier(samples.new_oid()), random.randbytes(5000)
    responses = at_once(
        region,
        lambda source, number: source.submit(replace(new_entry(RACERS[number]), unique_id=taken), octets),
    )
    assert verdicts(responses) == (RIVALS, Counter())
    assert len(region.bench.query("GetDocuments", "ObjectRef", XDSDocumentEntryUniqueId=taken.value).refs) == RIVALS
    assert region.at(1).fetch(taken.value) == region.at(2).fetch(taken.value) == octets
    check_nothing_is_left(region)
    region.check()


def test_one_unique_id_with_other_octets_is_accepted_from_one(region):
    taken = Identifier(samples.new_oid())
    contents = [random.randbytes(5000) for _ in range(RIVALS)]
    responses = at_once(
        region,
        lambda source, number: source.submit(replace(new_entry(RACERS[number]), unique_id=taken), contents[number]),
    )
    assert verdicts(responses) == (1, Counter({Code.XDSNonIdenticalHash: RIVALS - 1}))
    [winner] = [number for number, response in enumerate(responses) if response.status is Status.SUCCESS]
    assert region.at(1).fetch(taken.value) == region.at(2).fetch(taken.value) == contents[winner]
    check_nothing_is_left(region)
    region.check()


def test_one_unique_id_with_other_hashes_is_registered_from_one(region):
    """The same at the two registries, without a repository in between (ITI-42)."""
    taken = Identifier(samples.new_oid())

    def register(source: Source, number: int) -> RegistryResponse:
        patient = Identifier(RACERS[number])
        entry = samples.entry(unique_id=taken, hash=f"{number:040x}", patient_id=patient)
        sset = samples.submission_set(patient_id=patient)
        return source.registry.register(submit_request(samples.submission(entry, sset=sset)), CALLER)

    try:
        assert verdicts(at_once(region, register)) == (1, Counter({Code.XDSNonIdenticalHash: RIVALS - 1}))
        check_consistent(region.bench)
    finally:
        _forget(region, taken.value)


def _forget(region: Region, unique_id: str) -> None:
    """Remove an entry that no repository of ours has."""
    with region.bench.engine.begin() as conn:
        ids = [*conn.scalars(text("SELECT object FROM unique_identifier WHERE value = :value"), {"value": unique_id})]
        for table, column in (
            ("object_code", "object"),
            ("unique_identifier", "object"),
            ("registry_object", "target"),
            ("registry_object", "id"),
        ):
            conn.execute(text(f"DELETE FROM {table} WHERE {column} = ANY(:ids)"), {"ids": ids})


def test_one_document_is_replaced_by_one(region):
    old = new_entry(RACERS[0])
    assert region.at(1).submit(old, b"the old one").errors == ()
    [target] = region.at(2).find(old.unique_id.value)
    news = [new_entry(RACERS[0]) for _ in range(RIVALS)]
    responses = at_once(
        region, lambda source, number: source.submit(news[number], b"the new one, %d" % number, target.id)
    )
    assert verdicts(responses) == (1, Counter({Code.XDSRegistryDeprecatedDocumentError: RIVALS - 1}))
    [found] = region.at(2).find(old.unique_id.value)
    assert found.status == DEPRECATED
    check_nothing_is_left(region)
    region.check()


# A machine dies


class Stalled:
    """A document of which a part is sent, and then nothing more."""

    def __init__(self) -> None:
        self.given_up = Event()
        self._pieces = iter([bytes(1 << 20)] * 3)  # enough for whatever reads ahead to hand on what came before

    def read(self, _size: int = -1) -> bytes:
        return next(self._pieces, b"") or (self.given_up.wait(60) and b"")


def test_a_repository_that_is_killed_takes_nothing_along(region, monkeypatch):
    """Killed with three submissions of ours in it, whose states are known, and whatever the load has there."""
    held_patient, held = next(_patients), [new_entry("") for _ in range(2)]
    held = [replace(entry, patient_id=Identifier(held_patient)) for entry in held]
    stalled, orphan = Stalled(), random.randbytes(54_321)
    with Load(region, tries_again=True) as load, ThreadPoolExecutor(3) as pool:
        load.goes_on(1)
        with region.bench.engine.begin() as locker:
            # two are stored and claimed; their registration waits for the patient
            locker.execute(text("SELECT id FROM patient WHERE value = :value FOR UPDATE"), {"value": held_patient})
            waiting = [pool.submit(region.at(1).submit, entry, entry.unique_id.value.encode()) for entry in held]
            # of one, the first document is stored, the second does not end
            waiting.append(pool.submit(_provide, region.at(1), next(_patients), orphan, stalled))
            eventually(lambda: {entry.unique_id.value for entry in held} <= set(region.rows()))
            eventually(lambda: len(orphan) in region.objects().values())
            region.server(Actor.REPOSITORY, 1).kill()
        stalled.given_up.set()
        for each in waiting:
            assert isinstance(each.exception(60), PeerUnavailable)
        load.goes_on(3)
    source = Source(region.stack)
    for entry in held:  # the registrations went on by themselves
        eventually(lambda entry=entry: source.find(entry.unique_id.value))
    assert source.fetch(held[0].unique_id.value) == held[0].unique_id.value.encode()
    assert region.rows()[held[0].unique_id.value][1] == State.REGISTERED, "the other repository asked the registry"
    assert region.rows()[held[1].unique_id.value][1] == State.PENDING

    report = collect(region, monkeypatch)
    assert report["confirmed"] >= 1
    assert report["orphans"] >= 1
    assert len(orphan) not in region.objects().values()
    check_nothing_is_left(region)
    assert not any(collect(region, monkeypatch)[kind] for kind in ("confirmed", "withdrawn", "orphans"))
    region.stack.start()
    region.check()
    assert set(load.filed) <= {unique_id for unique_id, _ in region.documents()}


def _provide(source: Source, patient: str, octets: bytes, stalled: Stalled) -> RegistryResponse:
    entries = new_entry(patient), new_entry(patient)
    sset = samples.submission_set(patient_id=Identifier(patient))
    documents = (
        SubmittedDocument(entry.id, content)
        for entry, content in zip(entries, (io.BytesIO(octets), stalled), strict=True)
    )
    ids = tuple(entry.id for entry in entries)
    request = ProvideAndRegister(submit_request(samples.submission(*entries, sset=sset)), ids, documents)
    return source.repository.provide_and_register(request, CALLER)


class Tomorrow(datetime):
    """A clock by which everything here is old."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(days=1)


def collect(region: Region, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """`xds gc` with the settings of the second repository, a day later."""
    config = region.server(Actor.REPOSITORY, 2).config
    out = io.StringIO()
    with monkeypatch.context() as patched, redirect_stdout(out):
        patched.setattr("repository.gc.datetime", Tomorrow)
        with pytest.raises(SystemExit) as end:
            main(["gc", "-c", str(config), "--older-than", "1", "--json"])
    assert not end.value.code
    return json.loads(out.getvalue())


# A rolling restart


def test_a_rolling_restart_is_not_noticed(region):
    with Load(region) as load:
        load.goes_on(1)
        for server in region.stack.servers:
            assert server.stop() == 0
            load.goes_on(1)
            server.start()
            load.goes_on(1)
    assert load.broken == []
    assert len(load.filed) >= 9 * THREADS
    region.check()
    check_nothing_is_left(region)
