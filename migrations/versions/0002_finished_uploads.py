"""An upload stays known with the file that it became.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fw_uploads", sa.Column("sha256", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_fw_uploads_sha256"), "fw_uploads", ["sha256"])


def downgrade() -> None:
    op.drop_index(op.f("ix_fw_uploads_sha256"), "fw_uploads")
    op.drop_column("fw_uploads", "sha256")
