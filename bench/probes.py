"""What is asked of a registry at each size: every kind of stored query, and a registration, in this process.

Each probe has the same number of results at every size (patients with about ten documents, and with about a hundred),
so that what grows is the tables alone. Timed is everything the registry does: parsing the parameters, the SELECT,
unpacking the bodies; for ITI-42 also schema, rules and the durable transaction.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import cycle
from statistics import fmean, median
from typing import Any

from growth_rows import RARE, patients_of
from population import Population, patient_id
from sqlalchemy import Connection, Engine, column, text

from registry.codes import CodeCache
from registry.models import ASSOCIATION_TYPE_NUMBER, STATUS_NUMBER, EntryUUID, Kind
from registry.query import QuerySettings, run
from registry.service import Registry
from xds import database
from xds.database import AnyConnection
from xds.ebxml import rs, xml
from xds.errors import Status
from xds.messages import AdhocQuery, AdhocQueryResponse, Caller, ReturnType, SubmitObjectsRequest
from xds.metadata import affinity
from xds.metadata.affinity import CodeType
from xds.metadata.vocabulary import STABLE, AssociationType, AvailabilityStatus
from xds.queries.parse import parse
from xds.queries.table import TABLE
from xds.transactions import ITI_51

Slots = tuple[tuple[str, tuple[str, ...]], ...]
APPROVED = (f"('{AvailabilityStatus.APPROVED}')",)
_BY_NAME = {(row.transaction, row.name): row for row in TABLE}
_CALLER = Caller("bench")
_LEAST = 5  # runs of a slow probe
_MOST = 300  # of each kind in a sample


@dataclass(frozen=True)
class Sample:
    """Objects that probes ask for, chosen so that there is something to answer.

    Attributes:
        ten: patients with about ten Approved documents.
        hundred: patients with about a hundred; may be empty in a small registry.
        with_folder: those of `ten` that have a Folder.
        entries: entryUUIDs of documents of the first.
        replaced: entryUUIDs of documents that another one replaces.
        in_folder: entryUUIDs of documents that are in a Folder.
        unique_ids: uniqueIds of documents.
        folders: entryUUIDs of Folders.
        sets: entryUUIDs of SubmissionSets.
    """

    ten: Sequence[str]
    hundred: Sequence[str]
    with_folder: Sequence[str]
    entries: Sequence[str]
    replaced: Sequence[str]
    in_folder: Sequence[str]
    unique_ids: Sequence[str]
    folders: Sequence[str]
    sets: Sequence[str]

    def sizes(self) -> dict[str, int]:
        """How many of each there are: so many different questions a probe asks."""
        return {each.name: len(getattr(self, each.name)) for each in fields(self)}


Round = list[tuple[float, int]]
"""Seconds of each run, and the objects or references in its answer."""


@dataclass(frozen=True)
class Timing:
    """What a probe gave: seconds, and objects or references in an answer on average."""

    median: float
    p99: float
    results: float
    runs: int

    @staticmethod
    def of(rounds: Iterable[Round]) -> Timing:
        """The runs of several rounds together."""
        runs = sorted(run for each in rounds for run in each)
        taken = [seconds for seconds, _ in runs]
        return Timing(median(taken), taken[int(0.99 * len(taken))], fmean(results for _, results in runs), len(runs))


def sample(engine: Engine, entries: int) -> Sample:
    """Find what the probes ask for: by index at any size, but for uniqueIds, which know their patient and no index."""
    draw = random.Random(5)
    patients = patients_of(entries)
    with engine.connect() as conn:
        near_ten = [draw.randint(max(1, patients // 8), max(2, patients // 2)) for _ in range(3000)]
        near_hundred = [draw.randint(1, max(60, patients // 150)) for _ in range(3000)]
        ten = _with_documents(conn, near_ten, 10, 2)
        hundred = _with_documents(conn, near_hundred, 100, 15)
        links, folders = _of(ten, Kind.ASSOCIATION, "target"), _of(ten, Kind.FOLDER)
        return Sample(
            ten=_patient_ids(ten),
            hundred=_patient_ids(hundred),
            with_folder=_patient_ids(_column(conn, _of(ten, Kind.FOLDER, "DISTINCT patient"))),
            entries=_uuids(conn, _of(ten, Kind.DOCUMENT_ENTRY)),
            replaced=_uuids(conn, f"{links} AND type = {ASSOCIATION_TYPE_NUMBER[AssociationType.RPLC]}"),
            in_folder=_uuids(conn, f"{links} AND source IN ({folders})"),
            unique_ids=_column(conn, _of(ten, Kind.DOCUMENT_ENTRY, "value", "unique_identifier")),
            folders=_uuids(conn, folders),
            sets=_uuids(conn, _of(ten, Kind.SUBMISSION_SET)),
        )


def _of(patients: Sequence[int], kind: Kind, what: str = "id", table: str = "registry_object") -> str:
    """SELECT of a column of the patients' objects of a kind."""
    return f"SELECT {what} FROM {table} WHERE patient IN ({_listed(patients)}) AND kind = {kind:d}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(set(numbers)))) or "0"


def _with_documents(conn: Connection, numbers: Sequence[int], about: int, spread: int) -> list[int]:
    """Those of the patients with so many documents, the nearest first: as many results at every size."""
    approved = STATUS_NUMBER[AvailabilityStatus.APPROVED]
    return _column(
        conn,
        f"{_of(numbers, Kind.DOCUMENT_ENTRY, 'patient')} AND status = {approved} GROUP BY patient "
        f"HAVING count(*) BETWEEN {about - spread} AND {about + spread} ORDER BY abs(count(*) - {about}), patient",
    )


def _patient_ids(numbers: Sequence[int]) -> list[str]:
    return [patient_id(number) for number in numbers]


def _column(conn: Connection, sql: str) -> list[Any]:
    return list(conn.scalars(text(f"{sql} LIMIT {_MOST}")))


def _uuids(conn: Connection, sql: str) -> list[str]:
    return [id_.urn for id_ in conn.scalars(text(f"{sql} LIMIT {_MOST}").columns(column("id", EntryUUID)))]


def code(kind: CodeType) -> str:
    """The most frequent code of a kind, as a parameter's value."""
    (value, scheme), _ = next(iter(affinity.default().codes[kind].items()))
    return f"('{value}^^{scheme}')"


_OPTIONS: Mapping[str, Slots] = {
    "ClassCode": (("$XDSDocumentEntryClassCode", (code(CodeType.CLASS_CODE),)),),
    "TypeCode": (("$XDSDocumentEntryTypeCode", (code(CodeType.TYPE_CODE),)),),
    "PracticeSettingCode": (("$XDSDocumentEntryPracticeSettingCode", (code(CodeType.PRACTICE_SETTING_CODE),)),),
    "HealthcareFacilityTypeCode": (
        ("$XDSDocumentEntryHealthcareFacilityTypeCode", (code(CodeType.HEALTHCARE_FACILITY_TYPE_CODE),)),
    ),
    "FormatCode": (("$XDSDocumentEntryFormatCode", (code(CodeType.FORMAT_CODE),)),),
    "ConfidentialityCode": (("$XDSDocumentEntryConfidentialityCode", (code(CodeType.CONFIDENTIALITY_CODE),)),),
    "EventCodeList": (("$XDSDocumentEntryEventCodeList", (code(CodeType.EVENT_CODE_LIST),)),),
    "CreationTime": (("$XDSDocumentEntryCreationTimeFrom", ("2018",)), ("$XDSDocumentEntryCreationTimeTo", ("2024",))),
    "ServiceStartTime": (("$XDSDocumentEntryServiceStartTimeFrom", ("2018",)),),
    "ServiceStopTime": (("$XDSDocumentEntryServiceStopTimeTo", ("2024",)),),
    "AuthorPerson": (("$XDSDocumentEntryAuthorPerson", ("('%^Müller^%')",)),),
    "Type": (("$XDSDocumentEntryType", (f"('{STABLE}')",)),),
}


def probes(found: Sample) -> Iterator[tuple[str, Callable[[], AdhocQuery], str]]:
    """Name, a maker of queries, and the transaction, of each probe that has something to ask for."""
    for size, patients in (("10", found.ten), ("100", found.hundred)):
        if patients:
            yield from _find_documents(size, patients)
    for name, slots in _OPTIONS.items():
        yield _probe(
            f"FindDocuments, {name}",
            "FindDocuments",
            _patient("$XDSDocumentEntryPatientId", "DocumentEntry", found.ten, slots),
        )
    yield _probe(
        "FindSubmissionSets", "FindSubmissionSets", _patient("$XDSSubmissionSetPatientId", "SubmissionSet", found.ten)
    )
    if found.with_folder:
        folders_of = _patient("$XDSFolderPatientId", "Folder", found.with_folder)
        yield _probe("FindFolders", "FindFolders", folders_of)
    all_statuses = (("$XDSSubmissionSetStatus", APPROVED), ("$XDSFolderStatus", APPROVED))
    yield _probe("GetAll", "GetAll", _patient("$patientId", "DocumentEntry", found.ten, all_statuses))
    links = (
        ("$AssociationTypes", tuple(f"('{type_}')" for type_ in (AssociationType.RPLC, AssociationType.HAS_MEMBER))),
    )
    one = _each(found.entries)
    yield _probe(
        "GetDocuments, entryUUID", "GetDocuments", lambda: (("$XDSDocumentEntryEntryUUID", (f"('{next(one)}')",)),)
    )
    unique = _each(found.unique_ids)
    yield _probe(
        "GetDocuments, uniqueId", "GetDocuments", lambda: (("$XDSDocumentEntryUniqueId", (f"('{next(unique)}')",)),)
    )
    if found.replaced:
        replaced = _each(found.replaced)
        yield _probe(
            "GetRelatedDocuments",
            "GetRelatedDocuments",
            lambda: (("$XDSDocumentEntryEntryUUID", (f"'{next(replaced)}'",)), *links),
        )
    yield _probe("GetAssociations", "GetAssociations", lambda: (("$uuid", (f"('{next(one)}')",)),))
    if found.in_folder:
        inside = _each(found.in_folder)
        yield _probe(
            "GetFoldersForDocument",
            "GetFoldersForDocument",
            lambda: (("$XDSDocumentEntryEntryUUID", (f"'{next(inside)}'",)),),
        )
    sets, folders = _each(found.sets), _each(found.folders)
    yield _probe(
        "GetSubmissionSetAndContents",
        "GetSubmissionSetAndContents",
        lambda: (("$XDSSubmissionSetEntryUUID", (f"'{next(sets)}'",)),),
    )
    if found.folders:
        yield _probe(
            "GetFolderAndContents", "GetFolderAndContents", lambda: (("$XDSFolderEntryUUID", (f"'{next(folders)}'",)),)
        )
    rare = (("$XDSDocumentEntryEventCodeList", (f"('{RARE.key}')",)), ("$XDSDocumentEntryStatus", APPROVED))
    name, make, _ = _probe(
        "ITI-51, rare eventCode", "FindDocumentsForMultiplePatients", lambda: rare, transaction=ITI_51.number
    )
    yield name, make, ITI_51.number


def by_code(parameter: str, kind: CodeType) -> Callable[[], AdhocQuery]:
    """A maker of ITI-51 queries for the rarest code, without patients."""
    *_, (value, scheme) = affinity.default().codes[kind]
    slots: Slots = ((parameter, (f"('{value}^^{scheme}')",)), ("$XDSDocumentEntryStatus", APPROVED))
    return _probe("", "FindDocumentsForMultiplePatients", lambda: slots, transaction=ITI_51.number)[1]


def _find_documents(size: str, patients: Sequence[str]) -> Iterator[tuple[str, Callable[[], AdhocQuery], str]]:
    slots = _patient("$XDSDocumentEntryPatientId", "DocumentEntry", patients)
    yield _probe(f"FindDocuments, {size} in full", "FindDocuments", slots)
    yield _probe(f"FindDocuments, {size} refs", "FindDocuments", slots, ReturnType.OBJECT_REF)


def _each(values: Sequence[str]) -> Iterator[str]:
    return cycle(values or ("urn:uuid:00000000-0000-7000-8000-000000000000",))


def _patient(name: str, kind: str, patients: Sequence[str], more: Slots = ()) -> Callable[[], Slots]:
    turn = cycle(patients)
    return lambda: ((name, (f"'{next(turn)}'",)), (f"$XDS{kind}Status", APPROVED), *more)


def _probe(
    title: str,
    name: str,
    slots: Callable[[], Slots],
    return_type: ReturnType = ReturnType.LEAF_CLASS,
    transaction: str = "ITI-18",
) -> tuple[str, Callable[[], AdhocQuery], str]:
    id_ = _BY_NAME[transaction, name].id
    return title, lambda: AdhocQuery(id_, slots(), return_type), transaction


# --- timing -----------------------------------------------------------------------------------------------------------


class Prober:
    """Runs the probes on one database, each in several rounds.

    Args:
        engine: the registry's.
        runs: most runs of a probe in all.
        seconds: most seconds for a probe in all.
        rounds: in how many parts.
    """

    def __init__(self, engine: Engine, runs: int, seconds: float, rounds: int = 1) -> None:
        self._engine = engine
        self._runs, self._seconds, self._rounds = runs, seconds, rounds
        self._settings = QuerySettings()
        self._codes = CodeCache()
        self._registry = Registry(engine, affinity.default(), self._settings)

    def rounds(self, work: Callable[[], int]) -> Iterator[Round]:
        """Do work, which tells what it returned, a round at a time; first once through its sample.

        What is asked for often is in memory, and psycopg prepares at the fifth time.
        """
        self._repeat(work, self._runs, self._seconds)
        for _ in range(self._rounds):
            yield self._repeat(work, self._runs // self._rounds, self._seconds / self._rounds)

    def _repeat(self, work: Callable[[], int], most: int, seconds: float) -> Round:
        runs: Round = []
        began = time.perf_counter()
        while len(runs) < most and (len(runs) < _LEAST or time.perf_counter() - began < seconds):
            start = time.perf_counter()
            results = work()
            runs.append((time.perf_counter() - start, results))
        return runs

    def query(self, make: Callable[[], AdhocQuery], transaction: str) -> Callable[[], int]:
        """Work: a query."""

        def ask() -> int:
            answer = self._ask(make(), transaction)
            if answer.errors:
                raise RuntimeError(answer.errors[0])
            return len(answer.objects) + len(answer.refs)

        return ask

    def registration(self, patients: Sequence[str]) -> Callable[[], int]:
        """Work: ITI-42 of one entry."""
        population, turn = Population(int(time.time())), cycle(patients)
        messages = [
            rs.encode_submit(population.submission(next(turn), [population.oid()]))
            for _ in range(2 * self._runs + _LEAST * (self._rounds + 1))
        ]
        ready = iter(messages)

        def register() -> int:
            request = SubmitObjectsRequest(xml.parse(next(ready)))
            answer = self._registry.register(request, _CALLER)
            if answer.status is not Status.SUCCESS:
                raise RuntimeError(answer.errors)
            return 3

        return register

    def nothing(self) -> int:
        """Work: a transaction that asks for nothing; what differs in it from size to size is the machine."""
        return len(database.read_at_once(self._engine, lambda conn: database.rows(conn, "SELECT 1")))

    def _ask(self, query: AdhocQuery, transaction: str) -> AdhocQueryResponse:
        parsed = parse(query, transaction)
        return database.read_at_once(self._engine, lambda conn: run(conn, parsed, self._settings, self._codes))

    def plan(self, make: Callable[[], AdhocQuery], transaction: str) -> str:
        """How the database answers a query: EXPLAIN (ANALYZE, BUFFERS), or EXPLAIN QUERY PLAN of SQLite."""
        statement, parameters = self.statement(make, transaction)
        sqlite = self._engine.dialect.name == "sqlite"
        explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN (ANALYZE, BUFFERS) "
        with self._engine.connect() as conn:
            rows = conn.exec_driver_sql(explain + statement, parameters).fetchall()
        return "\n".join(str(row[-1]) for row in rows)

    def statement(self, make: Callable[[], AdhocQuery], transaction: str) -> tuple[str, tuple[Any, ...]]:
        """The last statement a query is answered by, and its parameters."""
        said: list[tuple[str, tuple[Any, ...]]] = []
        real = database.rows

        def note(connection: AnyConnection, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
            said.append((statement, tuple(parameters)))
            return real(connection, statement, parameters)

        database.rows = note
        try:
            self._ask(make(), transaction)
        finally:
            database.rows = real
        return said[-1]
