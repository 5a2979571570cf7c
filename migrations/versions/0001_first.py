"""All tables of the first version.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "fw_files",
    "fw_leader",
    "fw_tokens",
    "fw_uploads",
    "fw_workers",
    "fw_datasets",
    "fw_models",
    "fw_jobs",
    "fw_events",
    "fw_trials",
    "fw_artifacts",
    "fw_attempts",
    "fw_rungs",
)

_INDEXES = (
    ("fw_workers", "last_seen"),
    ("fw_datasets", "created_at", "id"),
    ("fw_models", "created_at", "id"),
    ("fw_jobs", "created_at", "id"),
    ("fw_jobs", "dataset_id", "created_at"),
    ("fw_jobs", "model_id"),
    ("fw_jobs", "state", "created_at", "id"),
    ("fw_trials", "job_id", "state", "number"),
    ("fw_trials", "job_id", "told", "number"),
    ("fw_artifacts", "sha256"),
    ("fw_attempts", "job_id", "state"),
    ("fw_attempts", "state", "lease_until"),
    ("fw_attempts", "trial_id"),
    ("fw_rungs", "job_id", "phase", "rung"),
)


def upgrade() -> None:
    _create_files()
    _create_leader()
    _create_tokens()
    _create_uploads()
    _create_workers()
    _create_datasets()
    _create_models()
    _create_jobs()
    _create_events()
    _create_trials()
    _create_artifacts()
    _create_attempts()
    _create_rungs()
    for table, *columns in _INDEXES:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)
    unfinished = sa.text("finished_at IS NULL")
    op.create_index(
        "ix_fw_jobs_unfinished",
        "fw_jobs",
        ["created_at", "id"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _create_files() -> None:
    op.create_table(
        "fw_files",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_fw_files")),
    )


def _create_leader() -> None:
    op.create_table(
        "fw_leader",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("holder", sa.String(length=255), nullable=False),
        sa.Column("term", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fw_leader")),
    )


def _create_tokens() -> None:
    op.create_table(
        "fw_tokens",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_tokens")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_fw_tokens_secret_sha256")),
    )


def _create_uploads() -> None:
    op.create_table(
        "fw_uploads",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_uploads")),
    )


def _create_workers() -> None:
    op.create_table(
        "fw_workers",
        sa.Column("boot_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("info", sa.JSON(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("boot_id", name=op.f("pk_fw_workers")),
    )


def _create_datasets() -> None:
    op.create_table(
        "fw_datasets",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("info", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _refers("fw_datasets", "sha256", "fw_files.sha256"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_datasets")),
        sa.UniqueConstraint("name", name=op.f("uq_fw_datasets_name")),
    )


def _create_models() -> None:
    op.create_table(
        "fw_models",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("architecture", sa.JSON(), nullable=False),
        sa.Column("normalisation", sa.JSON(), nullable=False),
        sa.Column("info", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _refers("fw_models", "sha256", "fw_files.sha256"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_models")),
        sa.UniqueConstraint("name", name=op.f("uq_fw_models_name")),
    )


def _create_jobs() -> None:
    op.create_table(
        "fw_jobs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("phase", sa.String(length=20), nullable=False),
        sa.Column("stop_reason", sa.String(length=40), nullable=True),
        sa.Column("stop_detail", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("model_id", sa.String(length=36), nullable=True),
        sa.Column("dataset_id", sa.String(length=36), nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=True),
        sa.Column("normalisation", sa.JSON(), nullable=True),
        sa.Column("baseline", sa.JSON(), nullable=True),
        sa.Column("budget_trials", sa.Integer(), nullable=False),
        sa.Column("parallel_trials", sa.Integer(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("last_event", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_seconds", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _refers("fw_jobs", "dataset_id", "fw_datasets.id"),
        _refers("fw_jobs", "model_id", "fw_models.id"),
        _refers("fw_jobs", "weights_sha256", "fw_files.sha256"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_jobs")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_fw_jobs_idempotency_key")),
    )


def _create_events() -> None:
    op.create_table(
        "fw_events",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _refers("fw_events", "job_id", "fw_jobs.id"),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_fw_events")),
    )


def _create_trials() -> None:
    op.create_table(
        "fw_trials",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(length=20), nullable=False),
        sa.Column("origin", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("candidate", sa.JSON(), nullable=False),
        sa.Column("candidate_digest", sa.String(length=64), nullable=False),
        sa.Column("params", sa.JSON(), nullable=True),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("rungs", sa.JSON(), nullable=False),
        sa.Column("splits", sa.JSON(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=True),
        sa.Column("epochs", sa.Integer(), nullable=True),
        sa.Column("measurement", sa.JSON(), nullable=True),
        sa.Column("violation", sa.Float(), nullable=True),
        sa.Column("file_sha256", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("failure_class", sa.String(length=40), nullable=True),
        sa.Column("failures", sa.JSON(), nullable=False),
        sa.Column("num_attempts", sa.Integer(), nullable=False),
        sa.Column("study_number", sa.Integer(), nullable=True),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _refers("fw_trials", "file_sha256", "fw_files.sha256"),
        _refers("fw_trials", "job_id", "fw_jobs.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_trials")),
        sa.UniqueConstraint("job_id", "number", name=op.f("uq_fw_trials_job_id_number")),
        sa.UniqueConstraint(
            "job_id",
            "phase",
            "candidate_digest",
            "seed",
            name=op.f("uq_fw_trials_job_id_phase_candidate_digest_seed"),
        ),
    )


def _create_artifacts() -> None:
    op.create_table(
        "fw_artifacts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("trial_id", sa.String(length=36), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _refers("fw_artifacts", "job_id", "fw_jobs.id"),
        _refers("fw_artifacts", "sha256", "fw_files.sha256"),
        _refers("fw_artifacts", "trial_id", "fw_trials.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_artifacts")),
        sa.UniqueConstraint(
            "trial_id", "rung", "role", name=op.f("uq_fw_artifacts_trial_id_rung_role")
        ),
    )


def _create_attempts() -> None:
    op.create_table(
        "fw_attempts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("trial_id", sa.String(length=36), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("worker", sa.String(length=255), nullable=False),
        sa.Column("boot_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _refers("fw_attempts", "job_id", "fw_jobs.id"),
        _refers("fw_attempts", "trial_id", "fw_trials.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fw_attempts")),
    )


def _create_rungs() -> None:
    op.create_table(
        "fw_rungs",
        sa.Column("trial_id", sa.String(length=36), nullable=False),
        sa.Column("rung", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("phase", sa.String(length=20), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("measurement", sa.JSON(), nullable=False),
        sa.Column("violation", sa.Float(), nullable=False),
        sa.Column("decision", sa.JSON(), nullable=False),
        sa.Column("file_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _refers("fw_rungs", "file_sha256", "fw_files.sha256"),
        _refers("fw_rungs", "job_id", "fw_jobs.id"),
        _refers("fw_rungs", "trial_id", "fw_trials.id"),
        sa.PrimaryKeyConstraint("trial_id", "rung", name=op.f("pk_fw_rungs")),
    )


def _refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"))
