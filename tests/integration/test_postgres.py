"""A PostgreSQL that has stopped answering: `pg_sleep` stands for a server that is frozen."""

from __future__ import annotations

from time import monotonic

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.conftest import SERVICE, create_database, drop_database
from xds import database, postgres
from xds.database import Trouble

pytestmark = SERVICE


@pytest.fixture
def frozen(monkeypatch):
    monkeypatch.setattr(postgres, "PATIENCE_SECONDS", 0.5)
    url = create_database()
    engine = database.engine(url, 2)
    yield engine
    engine.dispose()
    drop_database(url)


def sleep(connection):
    connection.execute(text("SELECT pg_sleep(4)"))


@pytest.mark.parametrize("run", [database.read, database.write])
def test_a_wait_ends_and_the_next_transaction_has_a_new_connection(frozen, run):
    began = monotonic()
    with pytest.raises(OperationalError, match="no answer within") as caught:
        run(frozen, sleep)
    assert monotonic() - began < 3.5
    assert database.trouble(caught.value) is Trouble.DOWN
    assert run(frozen, lambda connection: connection.scalar(text("SELECT 1"))) == 1


def test_a_migration_may_take_longer(frozen):
    def migrate(connection):
        with postgres.unhurried(connection.connection.driver_connection):
            connection.execute(text("SELECT pg_sleep(1)"))

    database.write(frozen, migrate)
    assert database.read(frozen, lambda connection: connection.connection.driver_connection.patience) is None
