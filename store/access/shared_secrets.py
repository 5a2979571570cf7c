"""Secrets that our own processes share through the database, so that nobody has to set them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.access import secrets
from store.database import clock
from store.database.upserts import insert_new
from store.tables.records import SecretRecord

DASHBOARD = "dashboard"
"""Shown by the service to the dashboard's process, which answers nobody else."""


def shared(session: Session, name: str) -> str:
    """Return the secret with this name. The first caller makes it, in a writing transaction."""
    found = _find(session, name)
    if found is None:
        values = {"name": name, "value": secrets.new(), "created_at": clock.utc_now()}
        insert_new(session, SecretRecord, values)
        found = _find(session, name)
        assert found is not None
    return found


def _find(session: Session, name: str) -> str | None:
    return session.scalar(select(SecretRecord.value).where(SecretRecord.name == name))
