"""The table of documents."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

exact = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "document",
        sa.Column("unique_id", exact, nullable=False, comment="DocumentEntry.uniqueId"),
        sa.Column("key", exact, nullable=False, comment="of the object in the store"),
        sa.Column("hash", sa.LargeBinary(20), nullable=False, comment="SHA-1 of the octets"),
        sa.Column("size", sa.BigInteger, nullable=False, comment="octets"),
        sa.Column("mime_type", exact, nullable=False, comment="as submitted"),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column(
            "holders", sa.SmallInteger, nullable=False, comment="submissions under way that rely on it while pending"
        ),
        sa.Column("claimed", sa.BigInteger, nullable=False, comment="when it was last claimed, seconds since 1970"),
        sa.PrimaryKeyConstraint("unique_id", name="pk_document"),
        sqlite_with_rowid=False,
    )
