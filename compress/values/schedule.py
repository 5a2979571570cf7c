"""The schedule of a recovery, and its loss. Torch-free: jobs name it, workers follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field

from compress.values.knobs import FirstDefault, as_recorded

Augmented: TypeAlias = Literal["none", "shift", "flip", "shift_flip"]
"""How training images are varied: not at all, cropped from a padded frame, mirrored, or both."""
Augment: TypeAlias = Literal["auto", "none", "shift", "flip", "shift_flip", "by_channels"]
"""What may be asked: ``auto`` shifts, and mirrors where the images say that it harms nothing.

``by_channels`` shifts, and mirrors images of three channels, as every job did before the field
was there; it repeats those.
"""
BEFORE_THE_FIELD: Final = "by_channels"
AugmentField: TypeAlias = Annotated[
    Augment,
    FirstDefault(value=BEFORE_THE_FIELD),
    Field(
        description="How training images are varied: auto shifts them, and mirrors them where a "
        "nearest neighbour answers mirrored training images as well as others; by_channels "
        "mirrors images of three channels, as jobs did that lack the field."
    ),
]
"""Not searched: one way for all candidates of a job, or their files could not be compared."""


USUAL_RATE: Final = 0.02
"""At the peak, for networks of families, and for every job before rates were tested."""
Rate: TypeAlias = Literal["auto"] | Annotated[float, Field(ge=0, le=1)]


class Schedule(BaseModel, frozen=True, extra="forbid"):
    """How a recovery trains (docs/recovery.md), the same for every candidate of a job."""

    learning_rate: Annotated[Rate, FirstDefault(value=USUAL_RATE)] = Field(
        default="auto",
        description="At the peak; it falls to 0 along a cosine. auto is 0.02 for networks of "
        "families, and for others what a short test on training images finds, at most 0.02.",
    )
    weight_decay: float = Field(
        default=5e-4, ge=0, le=0.1, description="For tensors of two dimensions or more."
    )
    warmup: float = Field(
        default=0.2, ge=0, le=1, description="Share of the steps in which the rate rises."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="auto takes bfloat16 where it pays and nothing is on a grid; bf16 takes it "
        "always, about twice as fast, and blurs grids of more than four bits.",
    )
    augment: AugmentField = "auto"
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        exclude_if=lambda value: value == 0,
        description="Share of a label that all classes get, of tasks that tell classes.",
    )
    class_weight: float = Field(
        default=0.0,
        ge=0,
        le=1,
        exclude_if=lambda value: value == 0,
        description="Classes count by this power of how rare they are: 0 all alike, 1 as if all "
        "were equally frequent.",
    )
    word_dropout: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        exclude_if=lambda value: value is None,
        description="Share of ids of words that become the unknown word in training; none: 0.1 of "
        "tasks on texts, else 0.",
    )

    @classmethod
    def of_record(cls, document: Any) -> Schedule:
        """Read what ``model_dump`` of this version, or of one with fewer fields, has written."""
        return cls.model_validate(as_recorded(cls, document))


def _read(document: Any) -> Any:
    return as_recorded(Schedule, document)


RecordedSchedule: TypeAlias = Annotated[Schedule, BeforeValidator(_read)]
"""A schedule inside of a record: what it lacks is what it was before the field was there."""
FIRST: Final = Schedule.of_record({})
"""How every job trained that could not say it."""


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """How the loss of the labels differs from plain cross-entropy.

    Attributes:
        margin: Taken off the right logit (additive margin: Wang et al., arXiv:1801.05599, on plain
            logits).
        temperature: Logits are divided by it.
        class_weight: Power of the inverse share of a class, by which its examples count.
        label_smoothing: Share of a label that all classes get (Szegedy et al., arXiv:1512.00567,
            section 7).
    """

    margin: float = 0.0
    temperature: float = 1.0
    class_weight: float = 0.0
    label_smoothing: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether nothing differs."""
        return self == PLAIN


PLAIN = LossSettings()
