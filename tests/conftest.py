"""Fixtures that the tests share: databases, certificates, published schemas, both actors as processes (`stack`)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from tests.stack import Arrangement, Stack, Stores, postgres_url, s3_url, start
from xds import database
from xds.security import pki as development_pki

REQUIRED = os.environ.get("XDS_REQUIRE_SERVICES") == "1"
SERVICE = pytest.mark.service


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Where services are required (CI), a service test that skips has failed."""
    report = yield
    if REQUIRED and report.skipped and item.get_closest_marker("service") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: XDS_REQUIRE_SERVICES=1, and yet skipped: {call.excinfo.value}"
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """Published schemas and codes to compare with; they are no part of the project."""
    directory = Path(os.environ.get("XDS_SHARED") or Path(__file__).parents[1].parent / "shared")
    if not (directory / "schemas").is_dir():
        pytest.skip("no published schemas here (XDS_SHARED)")
    return directory


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with a development authority, its server and client, and a leaf for each reason to refuse a peer."""
    directory = tmp_path_factory.mktemp("pki")
    development_pki.write_test_material(directory)
    return directory


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=SERVICE)])
def new_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    """Makes empty databases, each of its own; runs the test on SQLite and on PostgreSQL."""
    made: list[Engine] = []

    def make() -> Engine:
        url = f"sqlite:///{tmp_path}/{uuid.uuid4().hex}.db" if request.param == "sqlite" else create_database()
        made.append(database.engine(url))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()
        if request.param == "postgresql":
            drop_database(engine.url.render_as_string(hide_password=False))


@pytest.fixture
def engine(new_engine: Callable[[], Engine]) -> Engine:
    """An empty database."""
    return new_engine()


def create_database(url: str | None = None) -> str:
    """Make an empty database in the test server: one of a new name, or the one of a URL."""
    name = make_url(url).database if url else f"test_{uuid.uuid4().hex}"
    _administer(f"CREATE DATABASE {name}")
    return make_url(postgres_url()).set(database=name).render_as_string(hide_password=False)


def drop_database(url: str) -> None:
    """Remove it again, whoever is still connected."""
    _administer(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


def _administer(statement: str) -> None:
    engine = create_engine(postgres_url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def stack(tmp_path: Path, pki: Path) -> Iterator[Callable[..., Stack]]:
    """Starts the server: `stack(Arrangement.TWO_PROCESSES, Stores.SERVICES)`; everything ends with the test."""
    started: list[Stack] = []

    def make(arrangement: Arrangement = Arrangement.ONE_PROCESS, stores: Stores = Stores.EMBEDDED, **settings) -> Stack:
        directory = tmp_path / f"stack{len(started)}"
        url = create_database() if stores is Stores.SERVICES else None
        store = s3_url() if stores is Stores.SERVICES else None
        started.append(start(directory, pki, arrangement, database=url, store=store, **settings))
        return started[-1]

    yield make
    for each in started:
        each.stop()
        each.clean()
        if each.database:
            drop_database(each.database)
