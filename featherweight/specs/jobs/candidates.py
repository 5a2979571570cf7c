"""Candidates that a user proposes to a job, and their outcome."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, RootModel, StringConstraints, model_validator

from compress.techniques.candidate import Candidate
from compress.techniques.registry import TechniqueConfig
from compress.values.knobs import Scalar

MOST_CANDIDATES = 100
"""Of one request."""
KnobName = Annotated[str, StringConstraints(max_length=100, pattern=r"^[a-z0-9_.]{1,100}$")]


class CandidateRequest(BaseModel, frozen=True, extra="forbid"):
    """One candidate, by the values of the knobs of the job or by the steps themselves."""

    params: dict[KnobName, Scalar] | None = Field(
        default=None,
        max_length=1000,
        description="A value for every knob of the job's space, as a dry run lists them.",
    )
    steps: tuple[TechniqueConfig, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Configs of techniques, in the order of the catalog; what they do not say is "
        "as in the job, where all of its candidates have it alike.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> CandidateRequest:
        if (self.params is None) == (self.steps is None):
            raise ValueError("give either params or steps")
        if self.steps is not None:
            Candidate(steps=self.steps)
        return self

    @property
    def given(self) -> dict[str, Any]:
        """Return the request as JSON, without missing fields of steps: the job fills them in."""
        if self.steps is None:
            return {"params": self.params}
        steps = (step.model_dump(mode="json", exclude_unset=True) for step in self.steps)
        names = (step.technique for step in self.steps)
        return {"steps": [{**s, "technique": n} for s, n in zip(steps, names, strict=True)]}


class CandidateRequests(
    RootModel[
        Annotated[tuple[CandidateRequest, ...], Field(min_length=1, max_length=MOST_CANDIDATES)]
    ],
    frozen=True,
):
    """Candidates in the order in which they will be tried."""


class CandidateSchema(BaseModel, frozen=True):
    """A candidate that somebody proposed."""

    number: int = Field(description="In the order in which they are tried.")
    origin: str = Field(description="Who proposed it: user, or warm for an earlier job's front.")
    state: Literal["waiting", "tried", "dropped"]
    trial: str | None = Field(description="The trial that tries it, once there is one.")
    candidate: Candidate
    candidate_digest: str
    description: str
    in_space: bool = Field(
        description="Whether the job's space has it, so that the sampler learns from it."
    )
    note: str
    reason: str | None = Field(description="Why it was dropped.")
    created_at: AwareDatetime


class ProposedSchema(BaseModel, frozen=True):
    """The outcome of one candidate of a request."""

    is_new: bool = Field(description="False if the job had it already: it is not run twice.")
    state: Literal["waiting", "tried", "dropped"]
    trial: str | None = Field(description="The trial that tries it, once there is one.")
    trial_number: int | None
    candidate_digest: str
    description: str
    in_space: bool = Field(
        description="Whether the job's space has it, so that the sampler learns from it."
    )
