"""A job may train weights that its members share, or name a supernet that was uploaded.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MODEL_KEY = "fk_fw_jobs_supernet_model_id"
_FILE_KEY = "fk_fw_jobs_supernet_sha256"
_INDEX = "ix_fw_jobs_supernet_model_id"


def upgrade() -> None:
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.add_column(sa.Column("supernet_model_id", sa.String(length=36), nullable=True))
        jobs.add_column(sa.Column("supernet_sha256", sa.String(length=64), nullable=True))
        jobs.add_column(sa.Column("elastic", sa.JSON(none_as_null=True), nullable=True))
        jobs.create_foreign_key(op.f(_MODEL_KEY), "fw_models", ["supernet_model_id"], ["id"])
        jobs.create_foreign_key(op.f(_FILE_KEY), "fw_files", ["supernet_sha256"], ["sha256"])
    op.create_index(op.f(_INDEX), "fw_jobs", ["supernet_model_id"])


def downgrade() -> None:
    op.drop_index(op.f(_INDEX), "fw_jobs")
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.drop_constraint(op.f(_FILE_KEY), type_="foreignkey")
        jobs.drop_constraint(op.f(_MODEL_KEY), type_="foreignkey")
        jobs.drop_column("elastic")
        jobs.drop_column("supernet_sha256")
        jobs.drop_column("supernet_model_id")
