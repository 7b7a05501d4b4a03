"""The tables of patients, codes, objects and identifiers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

exact = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
identity = sa.BigInteger().with_variant(sa.Integer, "sqlite")
entry_uuid = sa.LargeBinary(16).with_variant(sa.Uuid, "postgresql")


def upgrade() -> None:
    op.create_table(
        "patient",
        sa.Column("id", identity, autoincrement=True, nullable=False),
        sa.Column("value", exact, nullable=False, comment="patientId as CX text"),
        sa.Column("survivor", identity, comment="set once the id was merged away"),
        sa.ForeignKeyConstraint(["survivor"], ["patient.id"], name="fk_patient_survivor"),
        sa.PrimaryKeyConstraint("id", name="pk_patient"),
        sa.UniqueConstraint("value", name="uq_patient_value"),
    )
    op.create_table(
        "code",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("attribute", exact, nullable=False, comment="the attribute's name, as in eventCodeList"),
        sa.Column("value", exact, nullable=False, comment="code^^codingScheme"),
        sa.PrimaryKeyConstraint("id", name="pk_code"),
        sa.UniqueConstraint("attribute", "value", name="uq_code_attribute_value"),
    )
    _create_registry_object()
    op.create_table(
        "object_code",
        sa.Column(
            "code",
            sa.Integer,
            autoincrement=False,
            nullable=False,
            comment="code.id: confidentialityCode, eventCodeList, codeList",
        ),
        sa.Column("object", entry_uuid, nullable=False, comment="registry_object.id"),
        sa.Column("patient", identity, nullable=False),
        sa.PrimaryKeyConstraint("code", "object", name="pk_object_code"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "unique_identifier",
        sa.Column("value", exact, nullable=False, comment="uniqueId of a DocumentEntry, SubmissionSet or Folder"),
        sa.Column(
            "ordinal",
            sa.SmallInteger,
            autoincrement=False,
            nullable=False,
            comment="0 for the first, more for further DocumentEntries",
        ),
        sa.Column("object", entry_uuid, nullable=False, comment="registry_object.id"),
        sa.Column("patient", identity, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary(20), comment="DocumentEntry: SHA-1"),
        sa.Column("size", sa.BigInteger, comment="DocumentEntry: octets"),
        sa.PrimaryKeyConstraint("value", "ordinal", name="pk_unique_identifier"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "submitted_part",
        sa.Column(
            "id", entry_uuid, nullable=False, comment="UUID a source gave to a Classification or ExternalIdentifier"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_submitted_part"),
        sqlite_with_rowid=False,
    )


def _create_registry_object() -> None:
    op.create_table(
        "registry_object",
        sa.Column("id", entry_uuid, nullable=False, comment="entryUUID"),
        sa.Column("patient", identity, nullable=False),
        sa.Column("lid", entry_uuid, nullable=False, comment="logicalID"),
        sa.Column("kind", sa.SmallInteger, nullable=False, comment="Kind"),
        sa.Column("version", sa.SmallInteger, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False, comment="STATUS_NUMBER"),
        sa.Column("on_demand", sa.SmallInteger, comment="1 for an On-Demand entry, 0 for a Stable one"),
        sa.Column("class_code", sa.Integer),
        sa.Column("type_code", sa.Integer),
        sa.Column("format_code", sa.Integer),
        sa.Column("practice_setting_code", sa.Integer),
        sa.Column("healthcare_facility_type_code", sa.Integer),
        sa.Column("creation_time", exact),
        sa.Column("service_start_time", exact),
        sa.Column("service_stop_time", exact),
        sa.Column("reference_id_list", exact, comment="lines"),
        sa.Column("author_person", exact, comment="lines"),
        sa.Column("content_type_code", sa.Integer),
        sa.Column("source_id", exact),
        sa.Column("submission_time", exact),
        sa.Column("last_update_time", exact),
        sa.Column("type", sa.SmallInteger, comment="ASSOCIATION_TYPE_NUMBER"),
        sa.Column("source", entry_uuid),
        sa.Column("target", entry_uuid),
        sa.Column("body", sa.LargeBinary, nullable=False, comment="ebRIM as served, packed by registry.bodies"),
        sa.ForeignKeyConstraint(["patient"], ["patient.id"], name="fk_registry_object_patient"),
        sa.PrimaryKeyConstraint("id", name="pk_registry_object"),
    )
    op.create_index("ix_registry_object_patient_kind", "registry_object", ["patient", "kind"])
    for kind, columns in ((1, ("class_code", "healthcare_facility_type_code")), (4, ("source", "target"))):
        where = sa.text(f"kind = {kind}")
        for column in columns:
            name = f"ix_registry_object_{column}"
            op.create_index(name, "registry_object", [column], postgresql_where=where, sqlite_where=where)
