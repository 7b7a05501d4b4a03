"""The indexes bench/indexes.py measures are those of the models, and SQLite's keys can be done without."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect

from registry import migrations as registry_migrations
from registry import models as registry_models
from repository import migrations as repository_migrations
from xds import database

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def bench():
    """The two modules; what they bring with them is forgotten in the end."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module("indexes"), importlib.import_module("index_rows")
    sys.path.remove(str(BENCH))
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == BENCH:
            del sys.modules[name]


@pytest.fixture
def engine(tmp_path):
    made = database.engine(f"sqlite:///{tmp_path}/both.db")
    registry_migrations.SCHEMA.upgrade(made)
    repository_migrations.SCHEMA.upgrade(made)
    yield made
    made.dispose()


def test_every_index_of_the_models_is_measured(bench):
    bench[0].check_complete()


def test_an_index_without_a_row_is_named(bench, monkeypatch):
    monkeypatch.setattr(bench[0], "INDEXES", bench[0].INDEXES[1:])
    with pytest.raises(LookupError, match=r"differ in pk_patient$"):
        bench[0].check_complete()


def test_a_key_of_sqlite_is_missing_for_a_transaction_alone(bench, engine):
    indexes, rows = bench
    keys = [index for index in indexes.INDEXES if index.is_key]
    for index in keys:
        with rows.bare(engine, index.table, index.name), indexes.undone(engine, index, with_it=False) as connection:
            looked_at = inspect(connection)
            assert index.name not in _keys(looked_at, index.table.name)
            others = {each["name"] for each in looked_at.get_indexes(index.table.name)}
            assert others == {f"{rows.BARE}_{each.name}" for each in index.table.indexes}
        assert index.name in _keys(inspect(engine), index.table.name)


def _keys(looked_at, table):
    unique = [each["name"] for each in looked_at.get_unique_constraints(table)]
    return {looked_at.get_pk_constraint(table)["name"], *unique}


def test_a_constraint_that_a_table_does_not_have_is_refused(bench, engine):
    wrong = bench[1].bare(engine, registry_models.patient, "pk_other")
    with pytest.raises(LookupError, match="patient has no constraint pk_other"):
        wrong.__enter__()
