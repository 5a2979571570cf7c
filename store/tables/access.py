"""Tables of permissions, and of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base


class TokenRecord(Base):
    """A bearer token, as the hash of its secret. ``kind`` separates users' tokens from our own."""

    __tablename__ = "fw_tokens"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str]
    secret_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[Any]]
    kind: Mapped[str] = mapped_column(String(20), default="user", server_default="user")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SessionRecord(Base):
    """A browser that has logged in with a token, as the hash of the secret in its cookie."""

    __tablename__ = "fw_sessions"

    secret_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_id: Mapped[str] = mapped_column(ForeignKey("fw_tokens.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class SecretRecord(Base):
    """A secret that our own processes share, by what it is for."""

    __tablename__ = "fw_secrets"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str]
    created_at: Mapped[datetime]


class AuditRecord(Base):
    """Something that was created, changed or deleted, and the name of the token that did it."""

    __tablename__ = "fw_audit"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(64))
    name: Mapped[str]
    detail: Mapped[dict[str, Any]]

    __table_args__ = (
        Index(None, "at", "id"),
        Index(None, "actor", "at", "id"),
        Index(None, "subject", "at", "id"),
    )
