"""The zone set in each of whose zones a sample was drawn

Revision: 0027; after 0026.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. All samples so far were drawn without zones."""
    room = 33 if op.get_bind().dialect.name == "postgresql" else 0  # for the tenant
    op.add_column("samples", sa.Column("zones", sa.String(length=80 + room), nullable=True))
    op.create_index("ix_samples_zones", "samples", ["zones"])


def downgrade() -> None:
    """Forget by which zones samples were drawn; their strata still tell it."""
    op.drop_index("ix_samples_zones", "samples")
    op.drop_column("samples", "zones")
