"""Two jobs beside each other: what each found, and how far that can be compared."""

from __future__ import annotations

from pydantic import BaseModel, Field

from featherweight.specs.objective import MetricSchema
from featherweight.specs.schemas import FrontPoint
from featherweight.specs.states import JobState


class ComparedJob(BaseModel, frozen=True):
    """One of the two jobs."""

    id: str
    name: str
    state: JobState
    trials: int = Field(description="Trials that have ended.")
    files: int = Field(description="Files on its front.")
    dominated: int | None = Field(
        description="Files of its front that are no better in any objective than some file of the "
        "other's, and worse in one; None if the objectives differ."
    )
    hypervolume: float = Field(description="Of its front, in the box of its own baseline.")
    recommended: FrontPoint | None


class ComparedFigure(BaseModel, frozen=True):
    """One metric of the recommended files, in the order of the jobs."""

    metric: MetricSchema
    values: tuple[float | None, float | None]


class ComparisonSchema(BaseModel, frozen=True):
    """Two jobs; ``notes`` say why figures of one are not those of the other."""

    jobs: tuple[ComparedJob, ComparedJob]
    figures: tuple[ComparedFigure, ...]
    notes: tuple[str, ...]
