"""How far a job has come, and how long it will take; how far a look into a file is."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, Field


class Counts(BaseModel, frozen=True):
    """Trials of a job by state."""

    waiting: int = 0
    running: int = 0
    complete: int = 0
    stopped: int = 0
    failed: int = 0
    total: int = Field(
        default=0,
        description="Trials that exist; in the end, the budget, and "
        "what comes on top: re-runs, and measuring on test.",
    )


class Forecast(BaseModel, frozen=True):
    """The expected time of a job, from its stopping rule and its measurements so far."""

    seconds: float | None = Field(
        description="From its start to its end; None while no speed is known."
    )
    basis: str = Field(description="What the seconds rest on, or why there are none.")
    elapsed_seconds: float = Field(default=0.0, description="Since its start, pauses apart.")
    remaining_seconds: float | None = Field(
        default=None, description="The rest of ``seconds``; None while no speed is known."
    )
    search_epochs: float | None = Field(
        default=None,
        description="Recovery epochs that all search trials together are expected to take; None "
        "once the job is over.",
    )


LookStage: TypeAlias = Literal["waiting", "converting", "inspecting"]


class LookSchema(BaseModel, frozen=True):
    """How far a service is with looking into an upload: ``share`` is that of its stage."""

    stage: LookStage
    share: float = Field(ge=0, le=1)
