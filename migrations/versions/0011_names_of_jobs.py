"""Jobs are found by their names.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_INDEX = "ix_fw_jobs_name_created_at_id"


def upgrade() -> None:
    op.create_index(_INDEX, "fw_jobs", ["name", "created_at", "id"])


def downgrade() -> None:
    op.drop_index(_INDEX, "fw_jobs")
