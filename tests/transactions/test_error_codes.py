"""Codes that no message alone brings about: load, room, failing parts, bounds (ITI TF-3 Table 4.2.4.1-2).

Through the front door; the cause is put where it would arise: in the database's driver, in the store, at the other
actor.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from registry.models import Kind, patient, registry_object
from registry.query import QuerySettings
from tests import corpus
from tests.samples import OTHER_PATIENT
from tests.world import World, check
from xds import database
from xds.actors import PeerUnavailable
from xds.errors import Code, Status

SUBMIT, PROVIDE = "minimal: required attributes only", "MTOM with quoted start"
QUERY, RETRIEVE = "FindDocuments with the required ones", "retrieve one document"


def fails(engine: sqlalchemy.Engine, message: str) -> None:
    """Every transaction of the database fails as SQLite does."""

    def fail(*_: object) -> None:
        raise OperationalError("BEGIN", None, sqlite3.OperationalError(message))

    sqlalchemy.event.listen(engine, "checkout", fail, insert=True)


def registry_fails(message: str) -> Callable[[World], None]:
    return lambda world: fails(world.registry.engine, message)


def repository_fails(message: str) -> Callable[[World], None]:
    return lambda world: fails(world.repository.engine, message)


def bounded(**bounds: object) -> Callable[[World], None]:
    def bound(world: World) -> None:
        world.registry.settings = QuerySettings(**bounds)

    return bound


def small_documents_only(world: World) -> None:
    world.repository.limit = 3


def registry_is_away(world: World) -> None:
    def away(*_: object) -> None:
        raise PeerUnavailable("https://registry.example.org: connection refused")

    world.registry.register = world.registry.query = away


def octets_change(world: World) -> None:
    [document] = [path for path in world.documents.rglob("*") if path.is_file()]
    document.chmod(0o600)
    document.write_bytes(b"jello")


LOCKED, FULL, OTHER = "database is locked", "database or disk is full", "no such column: x"

# case, seeds before the cause is set, cause, code, context
CAUSES = {
    "ITI-42 busy": (SUBMIT, (), registry_fails(LOCKED), Code.XDSRegistryBusy),
    "ITI-18 busy": (QUERY, (), registry_fails(LOCKED), Code.XDSRegistryBusy),
    "ITI-42 no room": (SUBMIT, (), registry_fails(FULL), Code.XDSRegistryOutOfResources),
    "ITI-42 failing": (SUBMIT, (), registry_fails(OTHER), Code.XDSRegistryError),
    "ITI-18 failing": (QUERY, (), registry_fails(OTHER), Code.XDSRegistryError),
    "ITI-41 busy": (PROVIDE, (), repository_fails(LOCKED), Code.XDSRepositoryBusy),
    "ITI-43 busy": (RETRIEVE, (PROVIDE,), repository_fails(LOCKED), Code.XDSRepositoryBusy),
    "ITI-41 no room": (PROVIDE, (), repository_fails(FULL), Code.XDSRepositoryOutOfResources),
    "ITI-41 a document too large": (PROVIDE, (), small_documents_only, Code.XDSRepositoryOutOfResources),
    "ITI-41 failing": (PROVIDE, (), repository_fails(OTHER), Code.XDSRepositoryError),
    "ITI-43 octets that changed": (RETRIEVE, (PROVIDE,), octets_change, Code.XDSRepositoryError),
    "ITI-41 registry away": (PROVIDE, (), registry_is_away, Code.XDSRegistryNotAvailable),
    "ITI-18 too many": (QUERY, ("two documents in one submission",), bounded(max_results=1), Code.XDSTooManyResults),
    "ITI-18 unknown patient": (
        "FindDocuments for a patient nobody has fed",
        (),
        bounded(unknown_patient="error"),
        Code.XDSUnknownPatientId,
    ),
}
ROWS = {
    "ITI-43 octets that changed": "ITI-43 3",
    "ITI-43 busy": "ITI-43 4",
    "ITI-41 registry away": "P10",
    "ITI-41 a document too large": "P7",
    "ITI-18 too many": "ITI-18 too many results",
    "ITI-18 unknown patient": "ITI-18 unknown patients",
}


@pytest.mark.parametrize(
    ("name", "seeds", "cause", "code"),
    [
        pytest.param(*row, id=title, marks=pytest.mark.rule(row[3], *filter(None, (ROWS.get(title),))))
        for title, row in CAUSES.items()
    ],
)
def test_what_goes_wrong_inside_is_told_in_the_standards_words(name, seeds, cause, code, world: World):
    for seed in seeds:
        check(corpus.case(seed), world.send(corpus.case(seed)))
    cause(world)
    wanted = replace(corpus.case(name), status=Status.FAILURE, codes=(code,), objects=None)
    check(wanted, world.send(wanted))


@pytest.mark.rule(Code.XDSResultNotSinglePatient, "ITI-18 single patient")
def test_objects_of_two_patients_are_not_returned_together(world: World):
    """LeafClass mixes no patients, ObjectRef may (ITI TF-2 3.18.4.1.2.3.7, notes)."""
    for person, number in (("p1", "1"), ("p2", "2")):
        base = corpus.case(SUBMIT)
        body = base.body.replace(b'"p1^^^', f'"{person}^^^'.encode()).replace(
            b"2.999.1.200.1", b"2.999.1.200." + number.encode()
        )
        check(base, world.send(replace(base, body=body)))
    query = corpus.case("GetDocuments by uniqueId")
    check(replace(query, status=Status.FAILURE, codes=(Code.XDSResultNotSinglePatient,), objects=0), world.send(query))
    refs = replace(query, body=query.body.replace(b'"LeafClass"', b'"ObjectRef"'), objects=2)
    check(refs, world.send(refs))


@pytest.mark.rule("E11", Code.XDSPatientIdDoesNotMatch)
def test_a_replacement_stops_at_a_folder_of_another_patient(world: World):
    """The Folder is moved as an unfinished merge would leave it; no message does that (ITI TF-2 3.42.4.1.3.5)."""
    first, replacing = corpus.case("UUIDs as ids of objects"), corpus.case("replace a registered document")
    check(first, world.send(first))
    rows, people = registry_object.c, patient.c
    other = sqlalchemy.select(people.id).where(people.value == OTHER_PATIENT).scalar_subquery()
    move = sqlalchemy.update(registry_object).where(rows.kind == Kind.FOLDER).values(patient=other)
    database.write(world.registry.engine, lambda conn: conn.execute(move))
    before = world.state()
    refused = replace(replacing, status=Status.FAILURE, codes=(Code.XDSPatientIdDoesNotMatch,), context=("Folder",))
    check(refused, world.send(replacing))
    assert world.state() == before
