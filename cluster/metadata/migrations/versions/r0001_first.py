"""First format: parks, endpoints, mappings, gateways, runs, audit, notes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create every table."""
    _parks_and_endpoints()
    _runs()
    _audit_and_notes()


def downgrade() -> None:
    """Drop every table."""
    for name in ("notes", "audit", "runs", "gateways", "mappings", "endpoints", "parks"):
        op.drop_table(name)


def _parks_and_endpoints() -> None:
    op.create_table(
        "parks",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("demo", sa.Boolean, nullable=False),
        sa.Column("applied_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "endpoints",
        sa.Column("park", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("fingerprint", sa.String(128), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("removed_us", sa.BigInteger),
    )
    op.create_table(
        "mappings",
        sa.Column("park", sa.String(64), primary_key=True),
        sa.Column("endpoint", sa.String(64), primary_key=True),
        sa.Column("node", sa.String(512), primary_key=True),
        sa.Column("path", sa.String(512), nullable=False),
    )
    op.create_table(
        "gateways",
        sa.Column("source", sa.String(128), primary_key=True),
        sa.Column("session", sa.BigInteger, nullable=False),
        sa.Column("started_us", sa.BigInteger, nullable=False),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("park", sa.String(64), nullable=False, index=True),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("plan", sa.LargeBinary),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("submitted_by", sa.String(200), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False, index=True),
        sa.Column("started_us", sa.BigInteger),
        sa.Column("finished_us", sa.BigInteger),
        sa.Column("heartbeat_us", sa.BigInteger),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("cancel_by", sa.String(200), nullable=False),
        sa.Column("from_us", sa.BigInteger),
        sa.Column("horizon_us", sa.BigInteger, nullable=False),
        sa.Column("branches", sa.JSON, nullable=False),
        sa.Column("replications", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("result_hash", sa.String(80), nullable=False),
        sa.Column("outcome", sa.JSON),
    )


def _audit_and_notes() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
    )
    op.create_table(
        "notes",
        sa.Column("id", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("park", sa.String(64), nullable=False, index=True),
        sa.Column("asset", sa.String(256), nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
