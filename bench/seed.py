"""What databases and store hold before the clock starts, put there by the product's own actors in this process."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cases import Seeded
from population import Population, patient_id

from registry import patients
from registry.migrations import SCHEMA as REGISTRY_SCHEMA
from registry.service import Registry
from repository.migrations import SCHEMA as REPOSITORY_SCHEMA
from repository.service import Repository
from xds import app, database
from xds.config import Settings
from xds.ebxml import rs
from xds.errors import Status
from xds.messages import AdhocQuery, Caller, ProvideAndRegister, Readable, ReturnType, SubmittedDocument
from xds.metadata.vocabulary import AvailabilityStatus
from xds.queries.table import TABLE
from xds.transactions import Actor

CALLER = Caller("bench")
WRITERS, WITH_10, WITH_100 = range(1, 2001), range(5001, 5101), range(6001, 6021)
_SMALL, _MIDDLE, _TOGETHER = 10_000, 100_000, 10
_STORES = 6900  # the patient of the documents that are retrieved
_FIND_DOCUMENTS = next(row.id for row in TABLE if row.name == "FindDocuments")


class SeedError(Exception):
    """The product refused what the benchmark wants to begin with."""


def seed(settings: Settings, *, retrieval: bool, huge: int) -> Seeded:
    """Fill both actors.

    Args:
        settings: of the server.
        retrieval: documents for ITI-43 too.
        huge: octets of the largest document; 0 for none.
    """
    registry = app.local_registry(settings)
    repository_engine = app.engine(settings, Actor.REPOSITORY)
    REGISTRY_SCHEMA.upgrade(registry.engine)
    REPOSITORY_SCHEMA.upgrade(repository_engine)
    numbers = [*WRITERS, *WITH_10, *WITH_100, _STORES]
    database.write(registry.engine, lambda conn: patients.add(conn, [patient_id(number) for number in numbers]))
    population = Population(7)
    for number in [*WITH_10, *(number for number in WITH_100 for _ in range(10))]:
        submission = population.submission(patient_id(number), [population.oid() for _ in range(10)])
        _expect(registry.register(rs.submit_request(submission), CALLER))
    uuids = [_entry_uuids(registry, number) for number in WITH_10]
    repository = app.repository_with(settings, registry)
    small = list(_documents(repository, population, _SMALL, 20)) if retrieval else []
    middle = list(_documents(repository, population, _MIDDLE, 10)) if retrieval else []
    large = _provide(repository, population, [_Noise(huge)])[0] if retrieval and huge else None
    registry.engine.dispose()
    repository_engine.dispose()
    repository.store.close()
    unique_id = settings.repository.unique_id or ""
    return Seeded(WRITERS, WITH_10, WITH_100, uuids, unique_id, [id_ for row in small for id_ in row], middle, large)


def _entry_uuids(registry: Registry, number: int) -> Sequence[str]:
    slots = (
        ("$XDSDocumentEntryPatientId", (f"'{patient_id(number)}'",)),
        ("$XDSDocumentEntryStatus", (f"('{AvailabilityStatus.APPROVED}')",)),
    )
    return registry.query(AdhocQuery(_FIND_DOCUMENTS, slots, ReturnType.OBJECT_REF), CALLER).refs


def _documents(repository: Repository, population: Population, size: int, submissions: int) -> Iterator[list[str]]:
    for _ in range(submissions):
        yield _provide(repository, population, [io.BytesIO(random.randbytes(size)) for _ in range(_TOGETHER)])


def _provide(repository: Repository, population: Population, documents: Sequence[Readable]) -> list[str]:
    unique_ids = [population.oid() for _ in documents]
    drawn = population.submission(patient_id(_STORES), unique_ids)
    entries = tuple(replace(entry, hash=None, size=None, repository_unique_id=None) for entry in drawn.entries)
    request = rs.submit_request(replace(drawn, entries=entries))
    ids = tuple(entry.id for entry in entries)
    contents = iter([SubmittedDocument(id_, content) for id_, content in zip(ids, documents, strict=True)])
    _expect(repository.provide_and_register(ProvideAndRegister(request, ids, contents), CALLER))
    return unique_ids


def _expect(answer: object) -> None:
    if getattr(answer, "status", None) is not Status.SUCCESS:
        raise SeedError(str(answer))


class _Noise:
    """A document of so many octets."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._block = random.Random(2).randbytes(1 << 20)

    def read(self, size: int = -1, /) -> bytes:
        count = min(self._left, len(self._block), size if size >= 0 else self._left)
        self._left -= count
        return self._block[:count]
