"""Candidates may be proposed to a job, by a user or from the jobs that it starts from.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = ("fw_candidates", "fw_candidate_posts", "fw_warm_sources")


def upgrade() -> None:
    op.create_table(
        "fw_candidates",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=40), nullable=False),
        sa.Column("candidate", sa.JSON(), nullable=False),
        sa.Column("candidate_digest", sa.String(length=64), nullable=False),
        sa.Column("params", sa.JSON(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("trial_id", sa.String(length=36), nullable=True),
        sa.Column("dropped", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["fw_jobs.id"], name=op.f("fk_fw_candidates_job_id")),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["fw_trials.id"], name=op.f("fk_fw_candidates_trial_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_candidates")),
        sa.UniqueConstraint("job_id", "number", name=op.f("uq_fw_candidates_job_id_number")),
        sa.UniqueConstraint(
            "job_id", "candidate_digest", name=op.f("uq_fw_candidates_job_id_candidate_digest")
        ),
    )
    op.create_table(
        "fw_candidate_posts",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["fw_jobs.id"], name=op.f("fk_fw_candidate_posts_job_id")
        ),
        sa.PrimaryKeyConstraint("job_id", "idempotency_key", name=op.f("pk_fw_candidate_posts")),
    )
    op.create_table(
        "fw_warm_sources",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_id", sa.String(length=36), nullable=False),
        sa.Column("is_history", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["fw_jobs.id"], name=op.f("fk_fw_warm_sources_job_id")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["fw_jobs.id"], name=op.f("fk_fw_warm_sources_source_id")
        ),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_fw_warm_sources")),
    )


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
