"""Every family, and what a job needs to say to name one of its networks. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, Field, model_validator

from compress.families.plan import Plan
from compress.families.residual.config import Residual
from compress.families.residual.plan import draw as draw_residual

Architecture: TypeAlias = Residual
"""The configs of all families, told apart by ``family``."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One line of the table of families.

    ``draw`` makes the plan of ``(config, in_channels, num_classes)``.
    """

    name: str
    config: type[BaseModel]
    draw: Callable[[Any, int, int], Plan]
    summary: str


FAMILIES: tuple[Family, ...] = (
    Family(
        name="residual",
        config=Residual,
        draw=draw_residual,
        summary="Residual networks for small images, 6n+2 layers.",
    ),
)
BY_NAME: dict[str, Family] = {family.name: family for family in FAMILIES}

Channel = Annotated[float, Field(gt=-1e6, lt=1e6)]
Deviation = Annotated[float, Field(gt=0, lt=1e6)]


class Normalisation(BaseModel, frozen=True, extra="forbid"):
    """What happens to raw values before the first layer: ``(x * scale - mean) / std`` per channel.

    It becomes part of every exported file, so files take the dataset's raw values.
    """

    scale: float = Field(default=1.0, gt=0, lt=1e6)
    mean: tuple[Channel, ...] = Field(min_length=1, max_length=16)
    std: tuple[Deviation, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _same_length(self) -> Normalisation:
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std need one entry per channel, got {self.mean}, {self.std}"
            )
        return self


def plan_of(architecture: Architecture, *, in_channels: int, num_classes: int) -> Plan:
    """What a network of this architecture computes."""
    return BY_NAME[architecture.family].draw(architecture, in_channels, num_classes)
