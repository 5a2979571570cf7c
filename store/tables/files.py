"""The tables of files: what is stored, what is on its way, and the models and datasets in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from featherweight.specs.states import ModelState
from store.tables.base import Base


class FileRecord(Base):
    """A file of the store, addressed by its content."""

    __tablename__ = "fw_files"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class UploadRecord(Base):
    """An upload. Its bytes lie in the file store under its id, and later as the file ``sha256``.

    ``touched_at`` is when bytes last arrived; uploads of older versions have none.
    """

    __tablename__ = "fw_uploads"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(default="", server_default=text("''"), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    created_at: Mapped[datetime]
    touched_at: Mapped[datetime | None]


class ModelRecord(Base):
    """An uploaded network: weights of a family, or an ONNX file.

    ``architecture`` is the document of its source. An ONNX file is ``inspecting`` first, and until
    it is ready ``info`` is empty, ``outline`` none, and ``normalisation`` empty if the upload gave
    none. ``reasons`` say why it is refused. ``inspections`` counts how often an inspection began,
    the newest of which has until ``inspection_until``, in seconds of the database's clock.
    """

    __tablename__ = "fw_models"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(default="", server_default=text("''"))
    name: Mapped[str] = mapped_column(unique=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("fw_files.sha256"))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    architecture: Mapped[dict[str, Any]]
    normalisation: Mapped[dict[str, Any]]
    info: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(
        String(20), default=ModelState.READY, server_default=text("'ready'")
    )
    reasons: Mapped[list[Any] | None]
    outline: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    inspections: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    inspection_until: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[datetime]

    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "owner", "created_at", "id"),
        Index(
            "ix_fw_models_inspecting",
            "created_at",
            "id",
            sqlite_where=text("state = 'inspecting'"),
            postgresql_where=text("state = 'inspecting'"),
        ),
    )


class DatasetRecord(Base):
    """An uploaded dataset."""

    __tablename__ = "fw_datasets"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(default="", server_default=text("''"))
    name: Mapped[str] = mapped_column(unique=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("fw_files.sha256"))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    task: Mapped[str]
    info: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]

    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "owner", "created_at", "id"),
    )
