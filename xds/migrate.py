"""Bringing a database up to date: the machinery that both actors' migrations share (alembic).

An actor's `migrations` package holds one `Schema` and its revisions. Each has its own version table, so that both
actors can live in one database. Every server that starts brings its database up to date; when several start at once,
one does the work and the others wait for it.

A new revision is a file `versions/rNNNN_what.py` with `revision`, `down_revision` and `upgrade()`. It must leave the
database usable for the release before it, since nodes are updated one after the other: add columns and tables, remove
nothing that was in use.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, text
from sqlalchemy.exc import SQLAlchemyError

from xds import database, postgres

Database = Engine
"""A database, opened, for those who only hand it on."""
DatabaseError = SQLAlchemyError
"""What using it can raise."""

log = logging.getLogger(__name__)

_WAIT = "10min"  # for another starter's migration
_LOCK = "20s"  # for a table in use; every request for it waits behind us


def words(error: DatabaseError) -> str:
    """What is wrong with a database, on one line, for an operator; no SQL, and no values."""
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    return f"{database.trouble(error).value} ({said})"


def answers(engine: Database) -> bool:
    """Tell whether a database can be used, and note in the log why not."""
    try:
        database.read(engine, lambda connection: connection.execute(text("SELECT 1")))
    except DatabaseError as error:
        log.warning("%s", words(error))
        return False
    return True


@dataclass(frozen=True)
class Schema:
    """The tables of one actor, and how they came to be.

    Attributes:
        name: the actor's; its version table is `alembic_version_NAME`.
        directory: its migrations package.
        tables: as the code of this release uses them.
    """

    name: str
    directory: Path
    tables: MetaData

    @property
    def version_table(self) -> str:
        """Where the database notes its revision."""
        return f"alembic_version_{self.name}"

    @property
    def head(self) -> str:
        """The newest revision of this release."""
        return str(self._scripts.get_current_head())

    def current(self, engine: Engine) -> str | None:
        """The revision of a database; None for an empty one."""
        return database.read(engine, self._revision)

    def knows(self, revision: str | None) -> bool:
        """Tell whether this release has a revision; a newer release may have made it."""
        return revision is None or revision in {script.revision for script in self._scripts.walk_revisions()}

    def upgrade(self, engine: Engine) -> None:
        """Bring a database up to date, in one transaction; does nothing when it is.

        A revision of a later release is left as it is: during a rolling update, nodes of both use the database.

        Raises:
            SQLAlchemyError: the database cannot be reached, or refuses a step; nothing was changed.
        """
        revision = self.current(engine)
        if revision != self.head and self.knows(revision):
            database.write(engine, self._upgrade)
        elif revision != self.head:
            log.warning("the %s database is of a later release (revision %s)", self.name, revision)

    @property
    def _config(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(self.directory).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        return config

    @property
    def _scripts(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self._config)

    def _revision(self, connection: Connection) -> str | None:
        return self.migration_context(connection).get_current_revision()

    def migration_context(self, connection: Connection) -> MigrationContext:
        """Alembic's view of a database, for comparisons."""
        return MigrationContext.configure(connection, opts={"version_table": self.version_table})

    def _upgrade(self, connection: Connection) -> None:
        config = self._config
        config.attributes.update(connection=connection, version_table=self.version_table)
        with postgres.unhurried(connection.connection.driver_connection):
            self._lock(connection)
            command.upgrade(config, "head")

    def _lock(self, connection: Connection) -> None:
        """One starter at a time; in SQLite BEGIN IMMEDIATE has seen to it."""
        if connection.dialect.name != "postgresql":
            return
        number = int.from_bytes(sha256(f"xds {self.version_table}".encode()).digest()[:8], signed=True)
        connection.execute(text(f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{_WAIT}'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK}'"))


def run() -> None:
    """What an actor's `env.py` does: run the revisions inside the transaction of `Schema.upgrade`."""
    attributes = context.config.attributes
    context.configure(connection=attributes["connection"], version_table=attributes["version_table"])
    context.run_migrations()
