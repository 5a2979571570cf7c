"""Config of ``sparsity``: which share of the single weights becomes zero."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from compress.techniques.description.config import StepConfig
from compress.values import patterns
from compress.values.knobs import Interval, Searchable
from compress.values.patterns import Exclude

_LARGEST_GROUP = 64


class Sparsity(StepConfig, frozen=True, extra="forbid"):
    """Set single weights to zero: the least important, anywhere or in a pattern."""

    technique: Literal["sparsity"] = "sparsity"
    sparsity: Annotated[float, Searchable(default=Interval(low=0.0, high=0.9, step=0.1))] = Field(
        default=0.5, ge=0.0, le=0.99, description="Share of the weights that become zero."
    )
    scope: Literal["global", "layer", "row"] = Field(
        default="global",
        description="What a weight is compared with: the network, its layer, its output channel.",
    )
    criterion: Literal["magnitude", "lamp", "wanda"] = Field(
        default="magnitude",
        description="Importance: the weight, its LAMP score, the weight times its input's norm.",
    )
    pattern: str = Field(
        default="",
        max_length=5,
        description="`N:M` keeps N of M consecutive input channels and decides the sparsity.",
    )
    schedule: Literal["oneshot", "gradual"] = Field(
        default="oneshot",
        description="All zeros before the recovery, or more and more in its first half.",
    )
    calibration_images: int = Field(
        default=128, ge=1, le=4096, description="Training images that show wanda the inputs."
    )
    exclude: Exclude = ""

    @field_validator("pattern")
    @classmethod
    def _readable(cls, text: str) -> str:
        numbers = re.fullmatch(r"(\d+):(\d+)", text)
        if text and not numbers:
            raise ValueError(f"pattern must be N:M like 2:4, or empty, got {text!r}")
        if numbers and not 0 < int(numbers[1]) < int(numbers[2]) <= _LARGEST_GROUP:
            raise ValueError(f"pattern N:M needs 0 < N < M <= {_LARGEST_GROUP}, got {text!r}")
        return text

    @property
    def kept_of_group(self) -> tuple[int, int] | None:
        """``(N, M)`` of the pattern, None without one."""
        if not self.pattern:
            return None
        kept, size = self.pattern.split(":")
        return int(kept), int(size)

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return self.sparsity > 0 or bool(self.pattern)

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        share = self.pattern or f"{self.sparsity:.0%}"
        scope = f" per {self.scope}" if self.scope != "global" else ""
        criterion = f" by {self.criterion}" if self.criterion != "magnitude" else ""
        gradual = " gradual" if self.schedule == "gradual" else ""
        return f"{share} zeros{scope}{criterion}{gradual}{patterns.words(self.exclude)}"
