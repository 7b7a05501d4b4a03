"""Databases that live as long as one module; on each a registry with the tests' patients, and a repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from repository.models import document
from repository.models import tables as repository_tables
from repository.service import Repository
from repository.storage import DirectoryStore, ObjectStore
from tests.actors import Bench
from tests.conftest import create_database, drop_database
from tests.desk import OWN, Desk, Scripted
from tests.stores import MemoryStore
from xds import database


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def module_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty database; the module's tests run on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        directory: Path = tmp_path_factory.mktemp("database")
        yield f"sqlite:///{directory}/xds.db"
        return
    url = create_database()
    yield url
    drop_database(url)


@pytest.fixture(scope="module")
def module_engine(module_url: str) -> Iterator[Engine]:
    """An empty database of the module."""
    engine = database.engine(module_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def bench(module_engine: Engine) -> Bench:
    """A registry for the module; its tests use ids and uniqueIds of their own."""
    return Bench.make(module_engine)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both stores, or the one in memory for tests that meddle with it."""
    if "desk_store" in metafunc.fixturenames:
        only = ["memory"] if "memory" in metafunc.fixturenames else ["memory", "directory"]
        metafunc.parametrize("desk_store", only, indirect=True)


@pytest.fixture
def desk_store(request, tmp_path) -> Iterator[ObjectStore]:
    made = MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "documents")
    yield made
    made.close()


@pytest.fixture(scope="module")
def both_tables(module_engine: Engine, bench: Bench) -> Bench:
    repository_tables.create_all(module_engine)
    return bench


@pytest.fixture
def desk(both_tables: Bench, desk_store: ObjectStore) -> Desk:
    with both_tables.engine.begin() as conn:
        conn.execute(document.delete())
    registry = Scripted(both_tables)
    return Desk(Repository(both_tables.engine, desk_store, registry, OWN), registry, both_tables, desk_store)


@pytest.fixture
def memory(desk: Desk) -> MemoryStore:
    """The store, for tests that make it fail."""
    assert isinstance(desk.store, MemoryStore)
    return desk.store
