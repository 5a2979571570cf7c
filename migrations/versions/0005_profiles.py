"""What probing a network found is kept, and a job may stand on it.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.tables.columns import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = "fk_fw_jobs_profile_sha256"


def upgrade() -> None:
    op.create_table(
        "fw_profiles",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=False),
        sa.Column("dataset_sha256", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["fw_files.sha256"], name=op.f("fk_fw_profiles_sha256")
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_fw_profiles")),
    )
    op.create_index(
        op.f("ix_fw_profiles_weights_sha256_dataset_sha256_version"),
        "fw_profiles",
        ["weights_sha256", "dataset_sha256", "version"],
    )
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.add_column(sa.Column("profile_sha256", sa.String(length=64), nullable=True))
        jobs.create_foreign_key(op.f(_KEY), "fw_profiles", ["profile_sha256"], ["sha256"])


def downgrade() -> None:
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.drop_constraint(op.f(_KEY), type_="foreignkey")
        jobs.drop_column("profile_sha256")
    op.drop_table("fw_profiles")
