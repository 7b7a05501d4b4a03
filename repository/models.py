"""The repository's own table: which object of the store a uniqueId means, and whether it is registered.

The store is given a fresh key for every document, so two writers of one uniqueId never touch each other's octets; the
primary key here decides who was first. States of a document:

    pending      its octets are durable in the store, its registration is under way (or its outcome unknown)
    registered   the registry has accepted a DocumentEntry for it

`holders` counts the submissions under way that rely on a pending document; the last one to be refused removes it.
"""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, SmallInteger, Table, Text


class State(IntEnum):
    """The numbers are stored: they never change."""

    PENDING = 1
    REGISTERED = 2


# Octet order, as the standard compares; PostgreSQL would otherwise use the database's language, and more slowly.
Exact = Text().with_variant(Text(collation="C"), "postgresql")

tables = MetaData(naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"})

document = Table(
    "document",
    tables,
    Column("unique_id", Exact, primary_key=True, comment="DocumentEntry.uniqueId"),
    Column("key", Exact, nullable=False, comment="of the object in the store"),
    Column("hash", LargeBinary(20), nullable=False, comment="SHA-1 of the octets"),
    Column("size", BigInteger, nullable=False, comment="octets"),
    Column("mime_type", Exact, nullable=False, comment="as submitted"),
    Column("state", SmallInteger, nullable=False),
    Column("holders", SmallInteger, nullable=False, comment="submissions under way that rely on it while pending"),
    Column("claimed", BigInteger, nullable=False, comment="when it was last claimed, seconds since 1970"),
    sqlite_with_rowid=False,
)
