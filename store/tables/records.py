"""The tables. Names start with ``fw_`` to avoid clashes with other owners of the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.access import AuditRecord, SecretRecord, SessionRecord, TokenRecord
from store.tables.base import Base, table_of
from store.tables.files import DatasetRecord, FileRecord, ModelRecord, UploadRecord
from store.tables.meters import MeteringRecord, MeterLookRecord, MeterRecord

__all__ = [
    "ArtifactRecord",
    "AttemptRecord",
    "AuditRecord",
    "Base",
    "CandidatePostRecord",
    "CandidateRecord",
    "DatasetRecord",
    "DeletedJobRecord",
    "EventRecord",
    "FileRecord",
    "JobRecord",
    "JobTagRecord",
    "LeaderRecord",
    "MeterLookRecord",
    "MeterRecord",
    "MeteringRecord",
    "ModelRecord",
    "ProfileRecord",
    "RungRecord",
    "SecretRecord",
    "SessionRecord",
    "StudyRemovalRecord",
    "TokenRecord",
    "TrialRecord",
    "UploadRecord",
    "WarmSourceRecord",
    "WorkerFaultRecord",
    "WorkerRecord",
    "table_of",
]


class ProfileRecord(Base):
    """The result of probing a network on a dataset, written once and shared by jobs.

    ``version`` is that of the document. Weights that were trained in a job have a digest too.
    """

    __tablename__ = "fw_profiles"

    sha256: Mapped[str] = mapped_column(ForeignKey("fw_files.sha256"), primary_key=True)
    weights_sha256: Mapped[str] = mapped_column(String(64))
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    document: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]

    __table_args__ = (Index(None, "weights_sha256", "dataset_sha256", "version"),)


class JobRecord(Base):
    """A job.

    ``last_event`` is the sequence number of its newest event, taken under this row. ``counts`` are
    its trials by state, kept with every change under this row, so that a page of jobs costs the
    same however many trials there are. ``supernet_sha256`` are the weights that its members share,
    ``elastic`` what they may differ in. ``profile_sha256`` is the profile that the search
    stands on. ``pause_reason`` says why the system paused the job (a user's pause has
    none), ``pause_file`` the digest of the file that it waits for. ``owner`` is the name of the
    token that made it, empty if there were no tokens. ``tags`` are those of ``JobTagRecord``, in
    the order in which they were given.
    """

    __tablename__ = "fw_jobs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(default="", server_default=text("''"))
    name: Mapped[str]
    state: Mapped[str] = mapped_column(String(20))
    phase: Mapped[str] = mapped_column(String(20))
    stop_reason: Mapped[str | None] = mapped_column(String(40))
    stop_detail: Mapped[str] = mapped_column(Text, default="")
    spec: Mapped[dict[str, Any]]
    model_id: Mapped[str | None] = mapped_column(ForeignKey("fw_models.id"))
    teacher_id: Mapped[str | None] = mapped_column(ForeignKey("fw_models.id"))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("fw_datasets.id"))
    weights_sha256: Mapped[str | None] = mapped_column(ForeignKey("fw_files.sha256"))
    supernet_model_id: Mapped[str | None] = mapped_column(ForeignKey("fw_models.id"))
    supernet_sha256: Mapped[str | None] = mapped_column(ForeignKey("fw_files.sha256"))
    elastic: Mapped[dict[str, Any] | None]
    profile_sha256: Mapped[str | None] = mapped_column(ForeignKey("fw_profiles.sha256"))
    normalisation: Mapped[dict[str, Any] | None]
    baseline: Mapped[dict[str, Any] | None]
    budget_trials: Mapped[int]
    parallel_trials: Mapped[int]
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    last_event: Mapped[int] = mapped_column(Integer, default=0)
    idempotency_key: Mapped[str | None]
    body_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    pause_reason: Mapped[str | None] = mapped_column(String(40))
    pause_file: Mapped[str | None] = mapped_column(String(64))
    pause_detail: Mapped[str | None] = mapped_column(Text)
    paused_seconds: Mapped[float] = mapped_column(Float, default=0.0)
    finished_at: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    tags: Mapped[list[Any] | None]

    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index(None, "created_at", "id"),
        Index(None, "owner", "created_at", "id"),
        Index(None, "name", "created_at", "id"),
        Index(None, "state", "created_at", "id"),
        Index(None, "dataset_id", "created_at"),
        Index(None, "model_id"),
        Index(None, "teacher_id"),
        Index(None, "supernet_model_id"),
        Index(
            "ix_fw_jobs_unfinished",
            "created_at",
            "id",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
    )


class TrialRecord(Base):
    """One candidate tried. ``told`` marks that the searcher's study knows the outcome.

    ``files`` are the digests of the files that a trial of the phase ``test`` measures, one per
    rung.
    """

    __tablename__ = "fw_trials"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"))
    number: Mapped[int]
    phase: Mapped[str] = mapped_column(String(20))
    origin: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(20))
    candidate: Mapped[dict[str, Any]]
    candidate_digest: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any] | None]
    seed: Mapped[int]
    rungs: Mapped[list[Any]]
    splits: Mapped[list[Any]]
    files: Mapped[list[Any] | None]
    rung: Mapped[int | None]
    epochs: Mapped[int | None]
    measurement: Mapped[dict[str, Any] | None]
    violation: Mapped[float | None] = mapped_column(Float)
    file_sha256: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text, default="")
    failure_class: Mapped[str | None] = mapped_column(String(40))
    failures: Mapped[dict[str, Any]] = mapped_column(default=dict)
    num_attempts: Mapped[int] = mapped_column(Integer, default=0)
    study_number: Mapped[int | None]
    told: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        UniqueConstraint("job_id", "phase", "candidate_digest", "seed"),
        Index(None, "job_id", "state", "number"),
        Index(None, "job_id", "told", "number"),
    )


class CandidateRecord(Base):
    """A candidate that a user or an earlier job proposed, in the order of trying.

    ``params`` are the values of the knobs if the candidate lies in the space of the job,
    ``trial_id`` is the trial that tries it, and ``dropped`` says why none will.
    """

    __tablename__ = "fw_candidates"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"))
    number: Mapped[int]
    origin: Mapped[str] = mapped_column(String(40))
    candidate: Mapped[dict[str, Any]]
    candidate_digest: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any] | None]
    note: Mapped[str] = mapped_column(Text, default="")
    trial_id: Mapped[str | None] = mapped_column(ForeignKey("fw_trials.id"))
    dropped: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        UniqueConstraint("job_id", "candidate_digest"),
    )


class CandidatePostRecord(Base):
    """A request that proposed candidates under a key, to tell a repeat from another request."""

    __tablename__ = "fw_candidate_posts"

    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"), primary_key=True)
    owner: Mapped[str] = mapped_column(primary_key=True, default="", server_default=text("''"))
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class WarmSourceRecord(Base):
    """A finished job that another one starts from; it may have been deleted since.

    ``is_history`` says that the sampler learns of the source's trials.
    """

    __tablename__ = "fw_warm_sources"

    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    source_id: Mapped[str] = mapped_column(String(36), index=True)
    is_history: Mapped[bool]


class JobTagRecord(Base):
    """A tag of a job, by which it is found. The job's own ``tags`` are written with it."""

    __tablename__ = "fw_job_tags"

    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(50), primary_key=True)

    __table_args__ = (Index(None, "tag", "job_id"),)


class AttemptRecord(Base):
    """One lease of one trial to one worker; ``token_sha256`` is the hash of its fencing token.

    ``lease_seconds`` is how long the lease stands after each sign of life; attempts of older
    versions have none.
    """

    __tablename__ = "fw_attempts"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    trial_id: Mapped[str] = mapped_column(ForeignKey("fw_trials.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"))
    worker: Mapped[str]
    boot_id: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(20))
    token_sha256: Mapped[str] = mapped_column(String(64))
    lease_until: Mapped[float] = mapped_column(Float)
    lease_seconds: Mapped[float | None] = mapped_column(Float)
    detail: Mapped[str] = mapped_column(Text, default="")
    progress: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "trial_id"),
        Index(None, "state", "lease_until"),
        Index(None, "job_id", "state"),
    )


class RungRecord(Base):
    """What happened when a trial reached a rung; written once.

    ``file_sha256`` names the file that was measured; the file itself may have been removed since.
    """

    __tablename__ = "fw_rungs"

    trial_id: Mapped[str] = mapped_column(ForeignKey("fw_trials.id"), primary_key=True)
    rung: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"))
    phase: Mapped[str] = mapped_column(String(20))
    epochs: Mapped[int]
    measurement: Mapped[dict[str, Any]]
    violation: Mapped[float] = mapped_column(Float)
    decision: Mapped[dict[str, Any]]
    file_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]

    __table_args__ = (Index(None, "job_id", "phase", "rung"),)


class ArtifactRecord(Base):
    """One file of one trial."""

    __tablename__ = "fw_artifacts"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"))
    trial_id: Mapped[str] = mapped_column(ForeignKey("fw_trials.id"))
    rung: Mapped[int]
    role: Mapped[str] = mapped_column(String(20))
    sha256: Mapped[str] = mapped_column(ForeignKey("fw_files.sha256"))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("trial_id", "rung", "role"), Index(None, "sha256"))


class EventRecord(Base):
    """One thing that happened to a job; ``seq`` has no gaps and is ordered like the commits."""

    __tablename__ = "fw_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(40))
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class WorkerRecord(Base):
    """A worker process as last heard of."""

    __tablename__ = "fw_workers"

    boot_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str]
    info: Mapped[dict[str, Any]]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]

    __table_args__ = (Index(None, "last_seen"),)


class WorkerFaultRecord(Base):
    """How often a worker has failed in a row, and until when it gets no trial (database clock).

    It is a separate row: a worker's row is locked before a job's, but failures are recorded under
    the job's.
    """

    __tablename__ = "fw_worker_faults"

    name: Mapped[str] = mapped_column(primary_key=True)
    in_a_row: Mapped[int] = mapped_column(Integer)
    set_aside_until: Mapped[float] = mapped_column(Float)
    reason: Mapped[str] = mapped_column(Text)


class DeletedJobRecord(Base):
    """What is left of a deleted job while another job names it as its warm start."""

    __tablename__ = "fw_deleted_jobs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    spec: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime]
    deleted_at: Mapped[datetime]


class StudyRemovalRecord(Base):
    """A deleted job whose study the searcher has yet to delete."""

    __tablename__ = "fw_study_removals"

    job_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    created_at: Mapped[datetime]


class LeaderRecord(Base):
    """The one active searcher. ``term`` counts how often the role changed hands."""

    __tablename__ = "fw_leader"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    holder: Mapped[str]
    term: Mapped[int]
    lease_until: Mapped[float] = mapped_column(Float)
    lease_seconds: Mapped[float | None] = mapped_column(Float)
