"""The tables of meters: devices that measure files which others made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base


class MeterRecord(Base):
    """A meter as last heard of. The process that speaks for it is ``boot_id``."""

    __tablename__ = "fw_meters"

    name: Mapped[str] = mapped_column(primary_key=True)
    boot_id: Mapped[str] = mapped_column(String(32))
    info: Mapped[dict[str, Any]]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]


class MeterLookRecord(Base):
    """When the files of a job were last chosen for a meter (database clock), and at which event."""

    __tablename__ = "fw_meter_looks"

    meter: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"), primary_key=True)
    last_event: Mapped[int] = mapped_column(Integer)
    looked_at: Mapped[float] = mapped_column(Float)

    __table_args__ = (Index(None, "job_id"),)


class MeteringRecord(Base):
    """One file on one meter: waiting, leased like a trial, or done with its result.

    ``token_sha256`` is the hash of the fencing token of the last claim, ``info`` what the meter
    said of itself then. ``num_claims`` counts those that no result and no release has followed yet.
    """

    __tablename__ = "fw_meterings"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fw_jobs.id"))
    artifact_id: Mapped[str] = mapped_column(ForeignKey("fw_artifacts.id", ondelete="CASCADE"))
    meter: Mapped[str]
    position: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(20))
    boot_id: Mapped[str | None] = mapped_column(String(32))
    token_sha256: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[float | None] = mapped_column(Float)
    num_claims: Mapped[int] = mapped_column(Integer, default=0)
    info: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "artifact_id", "meter", unique=True),
        Index(None, "meter", "state"),
        Index(None, "job_id", "state"),
    )
