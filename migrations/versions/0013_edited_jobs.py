"""Jobs have tags, by which they are found, and a priority in the claims of workers.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_ADDED = ("priority", "tags")


def upgrade() -> None:
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.add_column(
            sa.Column("priority", sa.Integer(), nullable=False, server_default=sa.text("0"))
        )
        jobs.add_column(sa.Column("tags", sa.JSON(none_as_null=True), nullable=True))
    op.create_table(
        "fw_job_tags",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("tag", sa.String(length=50), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["fw_jobs.id"], name="fk_fw_job_tags_job_id"),
        sa.PrimaryKeyConstraint("job_id", "tag", name="pk_fw_job_tags"),
    )
    op.create_index("ix_fw_job_tags_tag_job_id", "fw_job_tags", ["tag", "job_id"])


def downgrade() -> None:
    op.drop_table("fw_job_tags")
    with op.batch_alter_table("fw_jobs") as jobs:
        for column in _ADDED:
            jobs.drop_column(column)
