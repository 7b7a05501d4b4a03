"""Migrations: what they make is what the code uses, on both databases, whoever starts when."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from sqlalchemy import Engine, inspect, text

import registry.migrations
import repository.migrations
from xds import database
from xds.migrate import Schema

SCHEMAS = [registry.migrations.SCHEMA, repository.migrations.SCHEMA]
both = pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)


@both
def test_an_empty_database_gets_the_tables_the_code_uses(schema: Schema, engine: Engine) -> None:
    assert schema.current(engine) is None
    schema.upgrade(engine)
    assert schema.current(engine) == schema.head

    def differences(connection):
        def include(name, kind, _parents):
            return kind != "table" or name in schema.tables.tables

        context = schema.migration_context(connection)
        context.opts["include_name"] = include
        context.opts["compare_type"] = True
        return compare_metadata(context, schema.tables)

    with engine.connect() as connection:
        assert differences(connection) == []


@both
def test_the_definitions_are_those_of_the_models_to_the_letter(
    schema: Schema, new_engine: Callable[[], Engine]
) -> None:
    """Alembic compares no partial indexes, collations or table options."""
    migrated, made = new_engine(), new_engine()
    schema.upgrade(migrated)
    database.write(made, schema.tables.create_all)
    assert _definitions(migrated, schema) == _definitions(made, schema)


def _definitions(engine: Engine, schema: Schema) -> set[str]:
    if engine.dialect.name == "sqlite":
        query = "SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    else:
        query = """
            SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema()
            UNION ALL SELECT table_name, concat_ws(' ', column_name, data_type, collation_name, is_nullable,
                column_default, col_description(format('%I.%I', table_schema, table_name)::regclass, ordinal_position))
            FROM information_schema.columns WHERE table_schema = current_schema()
            UNION ALL SELECT conrelid::regclass::text, conname || pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = current_schema()::regnamespace"""
    with engine.connect() as connection:
        rows = connection.execute(text(query)).all()
    return {_in_order(sql) for table, sql in rows if table in schema.tables.tables}


def _in_order(sql: str) -> str:
    """The parts of a definition sorted: the order of constraints says nothing."""
    return ", ".join(sorted(re.split(r"\s*[,()]\s*", re.sub(r"\s+", " ", sql))))


def test_both_actors_can_share_a_database(engine: Engine) -> None:
    for schema in SCHEMAS:
        schema.upgrade(engine)
    assert all(schema.current(engine) == schema.head for schema in SCHEMAS)
    tables = {*inspect(engine).get_table_names()}
    assert tables >= {"alembic_version_registry", "alembic_version_repository", "patient", "document"}


def test_what_is_up_to_date_is_left_alone(engine: Engine) -> None:
    schema = registry.migrations.SCHEMA
    schema.upgrade(engine)
    database.write(
        engine, lambda connection: connection.execute(text("INSERT INTO patient (value) VALUES ('1^^^&1.2&ISO')"))
    )
    schema.upgrade(engine)
    assert database.read(engine, lambda connection: connection.scalar(text("SELECT count(*) FROM patient"))) == 1


def test_a_database_of_a_later_release_is_used_as_it_is(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """While nodes are updated one after the other, one of the old release may start."""
    schema = registry.migrations.SCHEMA
    schema.upgrade(engine)
    later = text(f"UPDATE {schema.version_table} SET version_num = '9999'")
    database.write(engine, lambda connection: connection.execute(later))
    schema.upgrade(engine)
    assert schema.current(engine) == "9999"
    assert "later release" in caplog.text


@both
def test_several_may_start_at_once(schema: Schema, engine: Engine) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: schema.upgrade(engine), range(6)))
    assert schema.current(engine) == schema.head
