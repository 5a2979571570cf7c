"""A job may name an uploaded model as the teacher of its distillation.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = "fk_fw_jobs_teacher_id"
_INDEX = "ix_fw_jobs_teacher_id"


def upgrade() -> None:
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.add_column(sa.Column("teacher_id", sa.String(length=36), nullable=True))
        jobs.create_foreign_key(op.f(_KEY), "fw_models", ["teacher_id"], ["id"])
    op.create_index(op.f(_INDEX), "fw_jobs", ["teacher_id"])


def downgrade() -> None:
    op.drop_index(op.f(_INDEX), "fw_jobs")
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.drop_constraint(op.f(_KEY), type_="foreignkey")
        jobs.drop_column("teacher_id")
