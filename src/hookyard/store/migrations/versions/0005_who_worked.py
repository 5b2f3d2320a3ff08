"""What an attempt's agent was: its kind, version, model and folder."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Upgrade to this revision."""
    for name in ("agent_kind", "agent_version", "model", "folder"):
        op.add_column("attempts", sa.Column(name, sa.Text()))
