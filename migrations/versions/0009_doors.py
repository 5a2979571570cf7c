"""Owners, sessions, expiry, an audit log; jobs that can be deleted and files that may go.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_OWNED = ("fw_models", "fw_datasets", "fw_jobs")
_SOURCE_KEY = "fk_fw_warm_sources_source_id"
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for table in (*_OWNED, "fw_uploads", "fw_candidate_posts"):
        with op.batch_alter_table(table) as owned:
            owned.add_column(
                sa.Column(
                    "owner", sa.String(length=255), nullable=False, server_default=sa.text("''")
                )
            )
    for table in _OWNED:
        op.create_index(
            op.f(f"ix_{table}_owner_created_at_id"), table, ["owner", "created_at", "id"]
        )
    op.create_index(op.f("ix_fw_uploads_owner"), "fw_uploads", ["owner"])
    with op.batch_alter_table("fw_uploads") as uploads:
        uploads.add_column(sa.Column("touched_at", _TIME, nullable=True))
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.drop_constraint(op.f("uq_fw_jobs_idempotency_key"), type_="unique")
        jobs.create_unique_constraint(
            op.f("uq_fw_jobs_owner_idempotency_key"), ["owner", "idempotency_key"]
        )
    with op.batch_alter_table("fw_candidate_posts") as posts:
        posts.drop_constraint(op.f("pk_fw_candidate_posts"), type_="primary")
        posts.create_primary_key(
            op.f("pk_fw_candidate_posts"), ["job_id", "owner", "idempotency_key"]
        )
    # They name what was measured; what keeps a file are artifacts, models, datasets and jobs.
    for table in ("fw_rungs", "fw_trials"):
        with op.batch_alter_table(table) as measured:
            measured.drop_constraint(op.f(f"fk_{table}_file_sha256"), type_="foreignkey")
    with op.batch_alter_table("fw_warm_sources") as sources:
        sources.drop_constraint(op.f(_SOURCE_KEY), type_="foreignkey")
        sources.create_index(op.f("ix_fw_warm_sources_source_id"), ["source_id"])
    with op.batch_alter_table("fw_tokens") as tokens:
        tokens.add_column(sa.Column("expires_at", _TIME, nullable=True))
    _create_tables_of_access()
    _create_tables_of_deletion()


def _create_tables_of_access() -> None:
    op.create_table(
        "fw_sessions",
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("token_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"], ["fw_tokens.id"], name=op.f("fk_fw_sessions_token_id")
        ),
        sa.PrimaryKeyConstraint("secret_sha256", name=op.f("pk_fw_sessions")),
    )
    op.create_index(op.f("ix_fw_sessions_token_id"), "fw_sessions", ["token_id"])
    op.create_table(
        "fw_secrets",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fw_secrets")),
    )
    op.create_table(
        "fw_audit",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_audit")),
    )
    op.create_index(op.f("ix_fw_audit_at_id"), "fw_audit", ["at", "id"])
    op.create_index(op.f("ix_fw_audit_actor_at_id"), "fw_audit", ["actor", "at", "id"])
    op.create_index(op.f("ix_fw_audit_subject_at_id"), "fw_audit", ["subject", "at", "id"])


def _create_tables_of_deletion() -> None:
    op.create_table(
        "fw_deleted_jobs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("spec", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=False),
        sa.Column("deleted_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_deleted_jobs")),
    )
    op.create_table(
        "fw_study_removals",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_fw_study_removals")),
    )


def downgrade() -> None:
    for table in ("fw_study_removals", "fw_deleted_jobs", "fw_audit", "fw_secrets", "fw_sessions"):
        op.drop_table(table)
    with op.batch_alter_table("fw_tokens") as tokens:
        tokens.drop_column("expires_at")
    with op.batch_alter_table("fw_warm_sources") as sources:
        sources.drop_index(op.f("ix_fw_warm_sources_source_id"))
        sources.create_foreign_key(op.f(_SOURCE_KEY), "fw_jobs", ["source_id"], ["id"])
    for table in ("fw_rungs", "fw_trials"):
        with op.batch_alter_table(table) as measured:
            measured.create_foreign_key(
                op.f(f"fk_{table}_file_sha256"), "fw_files", ["file_sha256"], ["sha256"]
            )
    with op.batch_alter_table("fw_candidate_posts") as posts:
        posts.drop_constraint(op.f("pk_fw_candidate_posts"), type_="primary")
        posts.drop_column("owner")
        posts.create_primary_key(op.f("pk_fw_candidate_posts"), ["job_id", "idempotency_key"])
    with op.batch_alter_table("fw_jobs") as jobs:
        jobs.drop_constraint(op.f("uq_fw_jobs_owner_idempotency_key"), type_="unique")
        jobs.create_unique_constraint(op.f("uq_fw_jobs_idempotency_key"), ["idempotency_key"])
    op.drop_index(op.f("ix_fw_uploads_owner"), "fw_uploads")
    for table in _OWNED:
        op.drop_index(op.f(f"ix_{table}_owner_created_at_id"), table)
    for table in (*_OWNED, "fw_uploads"):
        with op.batch_alter_table(table) as owned:
            owned.drop_column("owner")
    with op.batch_alter_table("fw_uploads") as uploads:
        uploads.drop_column("touched_at")
