"""A world for each test: two databases copied from a template, an empty store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from registry import patients
from tests.samples import OTHER_PATIENT, PATIENT
from tests.world import TABLES, World
from xds.transactions import Actor


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Databases with their tables and two patients, to be copied."""
    directory = tmp_path_factory.mktemp("template")
    for actor, tables in TABLES.items():
        engine = sqlalchemy.create_engine(f"sqlite:///{directory}/{actor}.db")
        tables.create_all(engine)
        if actor is Actor.REGISTRY:
            with engine.begin() as conn:
                patients.add(conn, [PATIENT, OTHER_PATIENT])
        engine.dispose()
    return directory


@pytest.fixture
def world(template: Path, tmp_path: Path) -> Iterator[World]:
    """Both actors on empty databases."""
    directory = tmp_path / "world"
    shutil.copytree(template, directory)
    made = World.make(directory)
    yield made
    made.close()
