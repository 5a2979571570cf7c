"""Pauses with a reason, leases with a length, workers that are set aside, tokens of our own.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.add_column(sa.Column("pause_reason", sa.String(length=40), nullable=True))
        jobs.add_column(sa.Column("pause_file", sa.String(length=64), nullable=True))
        jobs.add_column(sa.Column("pause_detail", sa.Text(), nullable=True))
    with op.batch_alter_table("fw_attempts") as attempts:
        attempts.add_column(sa.Column("lease_seconds", sa.Float(), nullable=True))
    with op.batch_alter_table("fw_leader") as leader:
        leader.add_column(sa.Column("lease_seconds", sa.Float(), nullable=True))
    with op.batch_alter_table("fw_tokens") as tokens:
        tokens.add_column(
            sa.Column("kind", sa.String(length=20), nullable=False, server_default="user")
        )
    op.create_table(
        "fw_worker_faults",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("in_a_row", sa.Integer(), nullable=False),
        sa.Column("set_aside_until", sa.Float(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fw_worker_faults")),
    )


def downgrade() -> None:
    op.drop_table("fw_worker_faults")
    with op.batch_alter_table("fw_tokens") as tokens:
        tokens.drop_column("kind")
    with op.batch_alter_table("fw_leader") as leader:
        leader.drop_column("lease_seconds")
    with op.batch_alter_table("fw_attempts") as attempts:
        attempts.drop_column("lease_seconds")
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.drop_column("pause_detail")
        jobs.drop_column("pause_file")
        jobs.drop_column("pause_reason")
