"""The registry's tables.

Every object of the registry is one row of `registry_object`: what queries search stands in columns, the object as it
is served (its ebRIM octets, complete, extra slots and all) in `body`, so that an answer joins octets and parses
nothing. What can change (status, version, patient after a merge, lastUpdateTime) changes seldom, and the change
rewrites the body in the same database transaction. Every row carries its patient, so that the tables can be sharded by
patient; `unique_identifier` is keyed by the uniqueId alone, so that it can be sharded on its own.

Codes are interned: a row holds the small number of `code^^codingScheme`. Several authors or references of one object
stand in one text column as lines.
"""

from __future__ import annotations

import uuid
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine, Uuid

from xds.metadata.vocabulary import AssociationType, AvailabilityStatus


class Kind(IntEnum):
    """What a row of `registry_object` is."""

    DOCUMENT_ENTRY = 1
    SUBMISSION_SET = 2
    FOLDER = 3
    ASSOCIATION = 4


# The numbers are stored: they never change, and new members are added at the end.
STATUS_NUMBER = {AvailabilityStatus.APPROVED: 1, AvailabilityStatus.DEPRECATED: 2}
ASSOCIATION_TYPE_NUMBER = {
    AssociationType.HAS_MEMBER: 1,
    AssociationType.RPLC: 2,
    AssociationType.XFRM: 3,
    AssociationType.APND: 4,
    AssociationType.XFRM_RPLC: 5,
    AssociationType.SIGNS: 6,
    AssociationType.IS_SNAPSHOT_OF: 7,
}


class EntryUUID(TypeDecorator[uuid.UUID]):
    """A UUID in 16 octets: PostgreSQL's own type, a BLOB in SQLite (which would otherwise store 32 characters)."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type."""
        return dialect.type_descriptor(Uuid() if dialect.name == "postgresql" else LargeBinary(16))

    def process_bind_param(self, value: uuid.UUID | None, dialect: Dialect) -> Any:
        """Hand a UUID to the driver."""
        return value if value is None or dialect.name == "postgresql" else value.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        """Take a UUID from the driver."""
        return value if value is None or dialect.name == "postgresql" else uuid.UUID(bytes=value)


# Octet order, as the standard compares; PostgreSQL would otherwise use the database's language, and more slowly.
Exact = Text().with_variant(Text(collation="C"), "postgresql")
Identity = BigInteger().with_variant(Integer, "sqlite")

tables = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)

patient = Table(
    "patient",
    tables,
    Column("id", Identity, primary_key=True, autoincrement=True),
    Column("value", Exact, nullable=False, unique=True, comment="patientId as CX text"),
    Column("survivor", ForeignKey("patient.id"), comment="set once the id was merged away"),
)

code = Table(
    "code",
    tables,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("attribute", Exact, nullable=False, comment="the attribute's name, as in eventCodeList"),
    Column("value", Exact, nullable=False, comment="code^^codingScheme"),
    UniqueConstraint("attribute", "value"),
)

registry_object = Table(
    "registry_object",
    tables,
    Column("id", EntryUUID, primary_key=True, comment="entryUUID"),
    Column("patient", ForeignKey("patient.id"), nullable=False),
    Column("lid", EntryUUID, nullable=False, comment="logicalID"),
    Column("kind", SmallInteger, nullable=False, comment="Kind"),
    Column("version", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False, comment="STATUS_NUMBER"),
    # DocumentEntry
    Column("on_demand", SmallInteger, comment="1 for an On-Demand entry, 0 for a Stable one"),
    Column("class_code", Integer),
    Column("type_code", Integer),
    Column("format_code", Integer),
    Column("practice_setting_code", Integer),
    Column("healthcare_facility_type_code", Integer),
    Column("creation_time", Exact),
    Column("service_start_time", Exact),
    Column("service_stop_time", Exact),
    Column("reference_id_list", Exact, comment="lines"),
    # DocumentEntry and SubmissionSet
    Column("author_person", Exact, comment="lines"),
    # SubmissionSet
    Column("content_type_code", Integer),
    Column("source_id", Exact),
    Column("submission_time", Exact),
    # Folder
    Column("last_update_time", Exact),
    # Association
    Column("type", SmallInteger, comment="ASSOCIATION_TYPE_NUMBER"),
    Column("source", EntryUUID),
    Column("target", EntryUUID),
    Column("body", LargeBinary, nullable=False, comment="ebRIM as served, packed by registry.bodies"),
)

ASSOCIATION: ColumnElement[int] = literal_column(str(Kind.ASSOCIATION.value))
"""In the text of a statement, not as a parameter: else a plan for any value could not use the partial indexes."""

is_association = registry_object.c.kind == ASSOCIATION
Index("ix_registry_object_patient_kind", registry_object.c.patient, registry_object.c.kind)
for end in ("source", "target"):
    Index(
        f"ix_registry_object_{end}",
        registry_object.c[end],
        postgresql_where=is_association,
        sqlite_where=is_association,
    )

# ITI-51 may name no patient: only these two attributes, or codes in `object_code`, then narrow the search. A class or
# facility that few documents have is found without reading the table; of one that many have, the bound on results is
# met at once.
is_document = registry_object.c.kind == Kind.DOCUMENT_ENTRY
for coded in ("class_code", "healthcare_facility_type_code"):
    Index(
        f"ix_registry_object_{coded}",
        registry_object.c[coded],
        postgresql_where=is_document,
        sqlite_where=is_document,
    )

object_code = Table(
    "object_code",
    tables,
    Column(
        "code",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="code.id: confidentialityCode, eventCodeList, codeList",
    ),
    Column("object", EntryUUID, primary_key=True, comment="registry_object.id"),
    Column("patient", Identity, nullable=False),
    sqlite_with_rowid=False,
)

unique_identifier = Table(
    "unique_identifier",
    tables,
    Column("value", Exact, primary_key=True, comment="uniqueId of a DocumentEntry, SubmissionSet or Folder"),
    Column(
        "ordinal",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="0 for the first, more for further DocumentEntries",
    ),
    Column("object", EntryUUID, nullable=False, comment="registry_object.id"),
    Column("patient", Identity, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("hash", LargeBinary(20), comment="DocumentEntry: SHA-1"),
    Column("size", BigInteger, comment="DocumentEntry: octets"),
    sqlite_with_rowid=False,
)

submitted_part = Table(
    "submitted_part",
    tables,
    Column("id", EntryUUID, primary_key=True, comment="UUID a source gave to a Classification or ExternalIdentifier"),
    sqlite_with_rowid=False,
)


def lines(values: tuple[str, ...]) -> str | None:
    """Several values as one column: each between line feeds, so that a pattern can match a whole value."""
    if not values:
        return None
    return "\n" + "\n".join(value.replace("\n", " ") for value in values) + "\n"
