"""What a recovery trains with. Without torch: jobs name it, services and workers pass it on."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Schedule(BaseModel, frozen=True, extra="forbid"):
    """How a recovery trains (docs/recovery.md), the same for every candidate of a job."""

    learning_rate: float = Field(
        default=0.02, ge=0, le=1, description="At the peak; it falls to 0 along a cosine."
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
