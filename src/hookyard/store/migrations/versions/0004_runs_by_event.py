"""Runs by event."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Upgrade to this revision."""
    op.drop_index(op.f("ix_runs_event_id"), table_name="runs")
    op.create_index("ix_runs_event_id", "runs", ["event_id", "workspace_id", "id"], unique=False)
