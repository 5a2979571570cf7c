"""Config of ``filter_pruning``: how many channels leave, which, and on what way."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.techniques.description.config import StepConfig
from compress.values import patterns
from compress.values.knobs import Interval, Searchable
from compress.values.patterns import Exclude

StageRatio = Annotated[float, Field(ge=0.0, le=0.95)]
Scope = Literal["stage", "uniform", "same_number", "global"]
Target = Literal["channels", "macs", "parameters", "bytes"]
ImportanceName = Literal[
    "l1",
    "l2",
    "batchnorm",
    "taylor",
    "hessian",
    "fpgm",
    "lamp",
    "activation",
    "apoz",
    "random",
]
CALIBRATED = frozenset({"taylor", "hessian", "activation", "apoz"})
"""Importances that look at training images."""


class FilterPruning(StepConfig, frozen=True, extra="forbid"):
    """Remove channels by importance: one ratio per stage, or one for the whole network.

    ``ratios`` count with the scope ``stage`` only, ``ratio`` with the other scopes and with the
    other targets (``compress.techniques.rules.conditional_fields``).
    """

    technique: Literal["filter_pruning"] = "filter_pruning"
    scope: Scope = Field(
        default="stage",
        description=(
            "Who shares a ratio: every stage has its own (ratios), the same for every group "
            "(uniform), as many channels from every group (same_number), or one ranking over all "
            "of them (global)."
        ),
    )
    target: Target = Field(
        default="channels", description="What the ratio is a share of; bytes are those of floats."
    )
    ratios: Annotated[
        tuple[StageRatio, ...],
        Searchable(default=Interval(low=0.0, high=0.7, step=0.1), per="stage"),
    ] = Field(
        default=(),
        max_length=16,
        description=(
            "Share of channels removed, per stage; with another target, the proportions in which "
            "the stages lose channels. For the scope stage."
        ),
    )
    ratio: float = Field(
        default=0.0,
        ge=0.0,
        le=0.95,
        description="Share of the target removed from the whole network. Not for stage + channels.",
    )
    importance: ImportanceName = Field(
        default="l2", description="What makes a channel important; the smallest leave."
    )
    combination: Literal["sum", "mean"] = Field(
        default="sum",
        description="Over the layers of a group: their sum, or the mean of each over its own mean.",
    )
    normalisation: Literal["mean", "none"] = Field(
        default="mean",
        description="Global ranking: importance over its group's mean, or as it is.",
    )
    keep_at_least: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Global ranking: share of a group that stays."
    )
    round_to: int = Field(
        default=2, ge=1, le=64, description="Channel counts are rounded up to this multiple."
    )
    steps: int = Field(
        default=1,
        ge=1,
        le=32,
        description="1 is one shot; more prune, measure importance again, and prune again.",
    )
    step_epochs: int = Field(
        default=0, ge=0, le=64, description="Epochs of recovery between two steps."
    )
    calibration_images: int = Field(
        default=256,
        ge=1,
        le=4096,
        description="Training images for taylor, hessian, activation and apoz.",
    )
    slimming_epochs: int = Field(
        default=0,
        ge=0,
        le=200,
        description="Epochs of sparsity training on BatchNorm scales before the first step.",
    )
    slimming_penalty: float = Field(
        default=1e-4, gt=0.0, le=0.1, description="Weight of the L1 penalty in that training."
    )
    exclude: Exclude = ""

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        if self.scope != "stage":
            return self.ratio > 0
        return any(ratio > 0 for ratio in self.ratios) and (
            self.target == "channels" or self.ratio > 0
        )

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        shares = f"{self.ratio:g}"
        if self.scope == "stage":
            by_stage = "/".join(f"{ratio:g}" for ratio in self.ratios)
            shares = by_stage if self.target == "channels" else f"{shares} ({by_stage})"
        of = f" of {self.target}" if self.target != "channels" else ""
        scope = f" {self.scope}" if self.scope != "stage" else ""
        by = f" by {self.importance}" if self.importance != "l2" else ""
        steps = f" in {self.steps} steps" if self.steps > 1 else ""
        slimming = f" after {self.slimming_epochs} slimming" if self.slimming_epochs else ""
        return f"prune {shares}{of}{scope}{by}{steps}{slimming}{patterns.words(self.exclude)}"
