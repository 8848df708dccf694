"""The audit log: who has changed what

Revision: 0018; after 0017.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SCOPE = "current_setting('canemap.tenant', true)"
OWN_ROWS = f"tenant = {SCOPE} OR {SCOPE} = '*'"


def upgrade() -> None:
    """Make the table, in which PostgreSQL hides the rows of other tenants."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "audit",
        sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local"),
        sa.Column("id", sa.String(length=133 if postgresql else 100), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("made", sa.String(length=200)),
        sa.Column("peer", sa.String(length=60)),
        sa.Column("request", sa.String(length=40)),
    )
    op.create_index("ix_audit_at", "audit", ["tenant", "at", "id"])
    if postgresql:
        op.execute("ALTER TABLE audit ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE audit FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON audit USING ({OWN_ROWS})")


def downgrade() -> None:
    """Delete the log."""
    op.drop_table("audit")
