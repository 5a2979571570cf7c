"""The budget of a job, and its further phases: supernet, profile, warm start, finish."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from compress.values.schedule import AugmentField
from featherweight.specs.names import JobReference, Reference


class Budget(BaseModel, frozen=True, extra="forbid"):
    """The budget. ``trials`` counts all: baseline, supernet, profile, search, finish."""

    trials: int = Field(default=30, ge=2, le=10_000)
    seconds: float | None = Field(
        default=None, gt=0, le=10_000_000, description="Wall time from the start; None is no limit."
    )
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Recovery epochs of all search trials together; None is no limit.",
    )
    parallel_trials: int = Field(default=2, ge=1, le=256)


class Finish(BaseModel, frozen=True, extra="forbid"):
    """The phase after the search: the best of the front, trained in full with several seeds."""

    trials: int = Field(default=4, ge=0, le=100, description="How many of the budget's trials.")
    finalists: int = Field(default=2, ge=1, le=20)
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Recovery epochs; None: twice the last rung's, or twice those of the highest "
        "rung that a trial came to where early_stopping.longest counts.",
    )


class SupernetTraining(BaseModel, frozen=True, extra="forbid"):
    """Weights that all members share, trained once before the search: one trial of the budget."""

    epochs: int = Field(
        ge=0, le=1000, description="Epochs of training; 0 only with model: its weights as they are."
    )
    model: Reference | None = Field(
        default=None,
        description="A supernet uploaded before, of the same architecture: training begins there.",
    )
    start: Literal["fresh", "baseline"] = Field(
        default="fresh", description="Without model: from new weights, or from the baseline's."
    )
    augment: AugmentField = "auto"

    @model_validator(mode="after")
    def _begins(self) -> SupernetTraining:
        if self.epochs == 0 and self.model is None:
            raise ValueError(
                "epochs must be at least 1 where no model is given: nothing else would train the "
                "weights that the members share"
            )
        if self.model is not None and self.start != "fresh":
            raise ValueError(
                f"training begins either from the model {self.model!r} or from the baseline: leave "
                "model or start out"
            )
        return self


class Profile(BaseModel, frozen=True, extra="forbid"):
    """Probe the model before the search: how much each layer and each stage can lose.

    One trial of the budget, unless the same model was probed on the same data before.
    """

    share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Most of budget.seconds that probing may take; without them, most of the "
        "baseline's training time; with neither, every probe is made.",
    )
    images: int = Field(
        default=512, ge=16, le=65_536, description="Training images that every probe answers."
    )
    allocate: bool = Field(
        default=True,
        description="Search a few knobs that allot bits and ratios by the profile, in place of "
        "filter_pruning.ratios and quantization.weight_bits.",
    )


class WarmStart(BaseModel, frozen=True, extra="forbid"):
    """Begin where finished jobs ended: candidates of their fronts are tried first."""

    jobs: tuple[JobReference, ...] = Field(
        default=(), max_length=20, description="Ids of finished jobs, the most important first."
    )
    auto: bool = Field(
        default=False,
        description="Find them: the newest finished ones on the same model and data, else on the "
        "same family or data.",
    )
    candidates: int = Field(
        default=4,
        ge=1,
        le=100,
        description="How many candidates of their fronts open the search, run again in its budget.",
    )

    @model_validator(mode="after")
    def _from_somewhere(self) -> WarmStart:
        if self.auto == bool(self.jobs):
            raise ValueError(
                f"name the jobs to start from, or say auto: true, one of the two; got auto "
                f"{self.auto} and {len(self.jobs)} jobs"
            )
        if len(set(self.jobs)) != len(self.jobs):
            raise ValueError(f"jobs must be distinct, got {list(self.jobs)}")
        return self
