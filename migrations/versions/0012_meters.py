"""Meters: devices that measure files which others made.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fw_meters",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("boot_id", sa.String(length=32), nullable=False),
        sa.Column("info", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_fw_meters"),
    )
    op.create_table(
        "fw_meter_looks",
        sa.Column("meter", sa.String(length=255), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("last_event", sa.Integer(), nullable=False),
        sa.Column("looked_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["fw_jobs.id"], name="fk_fw_meter_looks_job_id"),
        sa.PrimaryKeyConstraint("meter", "job_id", name="pk_fw_meter_looks"),
    )
    op.create_index("ix_fw_meter_looks_job_id", "fw_meter_looks", ["job_id"])
    _make_meterings()


def _make_meterings() -> None:
    op.create_table(
        "fw_meterings",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("artifact_id", sa.String(length=36), nullable=False),
        sa.Column("meter", sa.String(length=255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("boot_id", sa.String(length=32), nullable=True),
        sa.Column("token_sha256", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("num_claims", sa.Integer(), nullable=False),
        sa.Column("info", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["fw_jobs.id"], name="fk_fw_meterings_job_id"),
        sa.ForeignKeyConstraint(
            ["artifact_id"],
            ["fw_artifacts.id"],
            name="fk_fw_meterings_artifact_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_fw_meterings"),
    )
    indexed = (["artifact_id", "meter"], ["meter", "state"], ["job_id", "state"])
    for columns in indexed:
        name = "_".join(["ix_fw_meterings", *columns])
        op.create_index(name, "fw_meterings", columns, unique=columns[0] == "artifact_id")


def downgrade() -> None:
    for table in ("fw_meterings", "fw_meter_looks", "fw_meters"):
        op.drop_table(table)
