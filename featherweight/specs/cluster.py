"""Answers about the cluster itself: its workers, and who changed what."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, Field


class WorkerSchema(BaseModel, frozen=True):
    """A worker as last heard of."""

    name: str
    device: str
    threads: int
    version: str
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    trial: str | None
    set_aside_until: AwareDatetime | None = Field(
        default=None, description="It gets no trial until then: it has failed too often in a row."
    )
    set_aside_reason: str = Field(
        default="", description="Its last failure, where it is set aside."
    )


class AuditSchema(BaseModel, frozen=True):
    """One thing that was created, changed or deleted."""

    id: str
    at: AwareDatetime
    actor: str | None = Field(
        description="Name of the token; 'command line'; None where no token was needed."
    )
    action: str
    kind: str = Field(description="Of the subject: job, model, dataset or token.")
    subject: str = Field(description="Id of what was changed.")
    name: str = Field(description="The name that it had.")
    detail: dict[str, Any]
