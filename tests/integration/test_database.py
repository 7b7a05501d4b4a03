"""Transactions as `xds.database` runs them: who waits for whom, and what a read costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError, OperationalError, ProgrammingError

from tests.stack import environment, postgres_url
from xds import database, postgres
from xds.database import AnyConnection, Trouble
from xds.postgres import array

HOLDS = """
import sys, time
from xds import database, postgres
def hold(conn):
    print("begun", flush=True)
    time.sleep(60)
database.write(database.engine(sys.argv[1]), hold)
"""


@pytest.fixture
def sqlite(tmp_path):
    """URL of a SQLite file with a table."""
    url = f"sqlite:///{tmp_path}/numbers.db"
    made = database.engine(url)
    database.write(made, lambda conn: conn.execute(text("CREATE TABLE number (value INTEGER)")))
    yield url
    made.dispose()


def test_a_writer_that_is_killed_leaves_its_place_to_the_next(sqlite):
    command = [sys.executable, "-c", HOLDS, sqlite]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as holding:
        assert holding.stdout.readline() == b"begun\n"
        begun = time.monotonic()
        os.kill(holding.pid, signal.SIGKILL)
        database.write(database.engine(sqlite), lambda conn: conn.execute(text("INSERT INTO number VALUES (1)")))
    assert time.monotonic() - begun < 20
    assert database.read(database.engine(sqlite), lambda conn: conn.scalar(text("SELECT value FROM number"))) == 1


def status(conn: Connection) -> TransactionStatus:
    return conn.connection.driver_connection.info.transaction_status


@pytest.mark.service
def test_postgres_reads_without_a_transaction_and_writes_in_one():
    made = database.engine(postgres_url())
    kinds = {
        database.read: TransactionStatus.IDLE,
        database.write: TransactionStatus.INTRANS,
        database.read_at_once: TransactionStatus.IDLE,
        database.write_at_once: TransactionStatus.IDLE,
    }
    for run in (*kinds, *kinds):
        assert run(made, lambda conn: (database.rows(conn, "SELECT 1"), status(conn))) == ([(1,)], kinds[run])


@pytest.mark.service
@pytest.mark.parametrize("fails", [False, True])
def test_a_setting_of_postgres_is_another_one_only_meanwhile(fails):
    made = database.engine(postgres_url())

    def setting(conn: Connection) -> str:
        return conn.scalar(text("SHOW statement_timeout"))

    def work(conn: Connection) -> tuple[str, str, str]:
        before = setting(conn)
        with suppress(ProgrammingError), database.setting(conn, "statement_timeout", "0"):
            meanwhile = setting(conn)
            if fails:
                database.rows(conn, "SELECT value FROM none")
        return before, meanwhile, setting(conn)

    assert database.read(made, work) == ("1min", "0", "1min")


@pytest.mark.service
def test_a_connection_lost_under_another_setting_is_given_up():
    made, asked = database.engine(postgres_url()), []

    def lost_once(conn: Connection) -> object:
        asked.append(own_process(conn))
        with database.planned_for_values(conn):
            if len(asked) == 1:
                database.rows(conn, "SELECT pg_terminate_backend(pg_backend_pid())")
            return database.rows(conn, "SELECT 1")

    assert database.read(made, lost_once) == [(1,)]
    assert len(set(asked)) == 2


def own_process(conn: AnyConnection) -> int:
    return database.rows(conn, "SELECT pg_backend_pid()")[0][0]


RUNS = [database.read, database.write, database.read_at_once, database.write_at_once]


@pytest.mark.service
@pytest.mark.parametrize("run", RUNS)
def test_a_connection_that_postgres_closed_meanwhile_is_not_used(run):
    made, terminate = database.engine(postgres_url()), text("SELECT pg_terminate_backend(:process, 5000)")
    process = run(made, own_process)
    with create_engine(postgres_url(), poolclass=NullPool).connect() as other:
        assert other.scalar(terminate, {"process": process})
    asked = []
    assert run(made, lambda conn: asked.append(None) or own_process(conn)) != process
    assert len(asked) == 1


def test_what_another_writer_did_first_is_not_tried_again(sqlite):
    made, asked = database.engine(sqlite), []
    database.write(made, lambda conn: conn.execute(text("CREATE UNIQUE INDEX once ON number (value)")))

    def insert(conn):
        asked.append(None)
        database.changed(conn, "INSERT INTO number VALUES (1)")

    database.write_at_once(made, insert)
    with pytest.raises(IntegrityError):
        database.write_at_once(made, insert)
    assert len(asked) == 2


@pytest.mark.service
def test_postgres_values_are_the_same_however_they_are_read():
    row = (b"\0\xff", uuid.UUID(int=1), 2**40, "ä", True, None)
    select = text(
        r"SELECT '\x00ff'::bytea, '00000000-0000-0000-0000-000000000001'::uuid, 1099511627776, 'ä', true, null::int"
    )
    made = database.engine(postgres_url())
    assert database.read(made, lambda conn: tuple(conn.execute(select).one())) == row
    assert database.write(made, lambda conn: tuple(conn.execute(select).one())) == row
    assert database.read_at_once(made, lambda conn: database.rows(conn, select.text)) == [row]


@pytest.mark.parametrize("run", [database.rows, database.changed])
def test_what_the_driver_raises_is_told_as_sqlalchemy_would(sqlite, run):
    made = database.engine(sqlite)
    with pytest.raises(OperationalError, match="no such table: none") as caught:
        database.read(made, lambda conn: run(conn, "SELECT value FROM none"))
    assert database.trouble(caught.value) is Trouble.OTHER
    one = "INSERT INTO number VALUES (?)"
    database.write(made, lambda conn: conn.execute(text("CREATE UNIQUE INDEX once ON number (value)")))
    with pytest.raises(IntegrityError):
        database.write_at_once(made, lambda conn: database.change_each(conn, one, [(1,), (2,), (1,)]))
    assert database.read(made, lambda conn: database.rows(conn, "SELECT value FROM number")) == []


@pytest.mark.service
@pytest.mark.parametrize("run", RUNS[:3])
def test_a_connection_lost_in_a_statement_is_given_up(run):
    made, asked = database.engine(postgres_url()), []

    def lost_once(conn: AnyConnection) -> object:
        asked.append(own_process(conn))
        if len(asked) == 1:
            database.rows(conn, "SELECT pg_terminate_backend(pg_backend_pid())")
        return database.rows(conn, "SELECT 1")

    assert run(made, lost_once) == [(1,)]
    assert len(set(asked)) == 2


@pytest.mark.service
@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("smallint", [1, None, -(2**15)]),
        ("integer", [2**31 - 1, None]),
        ("bigint", [-(2**63), 0]),
        ("text", ["", "王小明", '{"a"}', "NULL", None]),
        ("bytea", [b"", b"\0\xff", None]),
        ("uuid", [uuid.UUID(int=1), None]),
        ("text", []),
        ("uuid", []),
        ("text", [None, None]),
    ],
)
def test_an_array_arrives_as_it_was_given(type_, values):
    sent = (array(type_, values),)
    query = f"SELECT %b::{type_}[]"
    assert database.read_at_once(database.engine(postgres_url()), lambda conn: database.rows(conn, query, sent)) == [
        (values,)
    ]


def test_what_a_failed_commit_left_is_not_committed_later(sqlite):
    """A deferred foreign key makes COMMIT itself fail, as a disk or another reader may."""
    made = database.engine(sqlite)
    owner = "CREATE TABLE owned (owner INTEGER REFERENCES owner (id) DEFERRABLE INITIALLY DEFERRED)"
    for table in ("CREATE TABLE owner (id INTEGER PRIMARY KEY)", owner):
        database.write(made, lambda conn: database.changed(conn, table))  # noqa: B023 - called at once

    def refused(conn):
        database.changed(conn, "INSERT INTO number VALUES (1)")
        database.changed(conn, "INSERT INTO owned VALUES (7)")

    for write in (database.write, database.write_at_once):
        with pytest.raises(IntegrityError):
            write(made, refused)
        for read in (database.read, database.read_at_once):
            assert read(made, lambda conn: database.rows(conn, "SELECT value FROM number")) == []
        write(made, lambda conn: database.changed(conn, "INSERT INTO owner VALUES (7)"))
        assert database.read(made, lambda conn: database.rows(conn, "SELECT value FROM number")) == []
        database.write(made, lambda conn: database.changed(conn, "DELETE FROM owner"))


@pytest.mark.parametrize("run", RUNS)
def test_a_sqlite_connection_closed_in_the_pool_is_told_and_given_up(sqlite, run):
    made = database.engine(sqlite)
    database.read(made, lambda conn: conn.connection.driver_connection).close()
    with suppress(ProgrammingError):
        run(made, lambda conn: database.rows(conn, "SELECT 1"))
    assert run(made, lambda conn: database.rows(conn, "SELECT 1")) == [(1,)]


@pytest.mark.parametrize(
    "said",
    [
        "connection failed: FATAL:  sorry, too many clients already",
        'connection failed: FATAL:  too many connections for role "xds"',
        "connection failed: FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
    ],
)
def test_a_postgres_without_room_for_a_connection_is_busy(said):
    assert database.trouble(OperationalError(None, None, psycopg.OperationalError(said))) is Trouble.BUSY


@pytest.mark.service
def test_a_postgres_that_closes_whatever_is_opened_is_down(monkeypatch):
    made = database.engine(postgres_url(), connections=2)
    monkeypatch.setattr(postgres, "is_lost", lambda _: True)
    for run in RUNS:
        with pytest.raises(InvalidRequestError) as caught:
            run(made, lambda conn: database.rows(conn, "SELECT 1"))
        assert database.trouble(caught.value) is Trouble.DOWN
