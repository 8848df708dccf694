"""Webhooks, and the deliveries of their messages

Revision: 0014; after 0013.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
IS_DUE = sa.text("due IS NOT NULL")
SCOPE = "current_setting('canemap.tenant', true)"
OWN_ROWS = f"tenant = {SCOPE} OR {SCOPE} = '*'"


def upgrade() -> None:
    """Create the tables. PostgreSQL hides their rows from other tenants."""
    postgres = op.get_bind().dialect.name == "postgresql"
    identifier = sa.String(length=133 if postgres else 100)  # with room for the tenant
    _make_webhooks(identifier)
    _make_deliveries(identifier)
    if postgres:
        for table in ("webhooks", "deliveries"):
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY own_rows ON {table} USING ({OWN_ROWS})")


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local")


def _make_webhooks(identifier: sa.String) -> None:
    op.create_table(
        "webhooks",
        _tenant(),
        sa.Column("id", identifier, primary_key=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("title", sa.String(length=200)),
        sa.Column("events", JSON),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("old_secret", sa.String(length=100)),
        sa.Column("old_secret_until", TIME),
        sa.Column("disabled", sa.Text()),
        sa.Column("failing_since", TIME),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
    )
    op.create_index("ix_webhooks_created", "webhooks", ["tenant", "created", "id"])


def _make_deliveries(identifier: sa.String) -> None:
    op.create_table(
        "deliveries",
        _tenant(),
        sa.Column("id", identifier, primary_key=True),
        sa.Column("webhook", identifier, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("event", sa.String(length=100), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("due", TIME),
        sa.Column("attempts", JSON, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("ended", TIME),
    )
    op.create_index("ix_deliveries_created", "deliveries", ["webhook", "created", "id"])
    op.create_index("ix_deliveries_due", "deliveries", ["due"], postgresql_where=IS_DUE, sqlite_where=IS_DUE)
    op.create_index("ix_deliveries_ended", "deliveries", ["ended"])


def downgrade() -> None:
    """Drop the tables: webhooks and their deliveries are lost."""
    op.drop_table("deliveries")
    op.drop_table("webhooks")
