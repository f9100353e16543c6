"""Tokens of gateways outside the service."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "gateway_tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("gateway", sa.String(64), nullable=False, index=True),
        sa.Column("parks", sa.JSON, nullable=False),
        sa.Column("verifier", sa.String(64), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
        sa.Column("heard_us", sa.BigInteger),
        sa.Column("versions", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("gateway_tokens")
