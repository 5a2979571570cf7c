"""Config of ``family_member``: a smaller member of the baseline's, or of the student's, family."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.network.member import OPERATIONS, Operation, Shape, WeightsFrom
from compress.techniques.description.config import StepConfig
from compress.values.knobs import Choice, Searchable

_DEEPEST = 64
_LARGEST_KERNEL = 15


class FamilyMember(StepConfig, frozen=True, extra="forbid"):
    """What the member keeps of the largest network of its family."""

    technique: Literal["family_member"] = "family_member"
    width: Annotated[float, Searchable(default=Choice(choices=(0.5, 0.75, 1.0)))] = Field(
        default=1.0, gt=0, le=1, description="Share of the channels of every stage that stay."
    )
    depth: Annotated[int, Searchable(default=Choice(choices=(1, 2, 3)))] = Field(
        default=_DEEPEST,
        ge=1,
        le=_DEEPEST,
        description="Most blocks a stage keeps; the first block of a stage always stays.",
    )
    kernel: Annotated[int, Searchable(default=Choice(choices=(3, 5, 7)))] = Field(
        default=_LARGEST_KERNEL,
        ge=1,
        le=_LARGEST_KERNEL,
        description="Most rows and columns a kernel keeps, where the family may vary it.",
    )
    expansion: Annotated[float, Searchable(default=Choice(choices=(0.5, 0.75, 1.0)))] = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of the channels inside its blocks, where the family widens them there.",
    )
    resolution: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Side in pixels of what the first layer sees; 0 is the image as it is.",
    )
    excitation: bool = Field(
        default=True, description="Whether squeeze and excitation stays where the family has it."
    )
    activation: Literal["", "relu", "relu6", "hardswish", "silu"] = Field(
        default="", description="Replaces the activation of the blocks; empty leaves it."
    )
    cell: Annotated[
        tuple[Operation, ...], Searchable(default=Choice(choices=OPERATIONS), per="edge")
    ] = Field(
        default=(),
        max_length=100,
        description="The operation on every edge of the cell; empty leaves what is there.",
    )
    weights: WeightsFrom = Field(
        default="inherited",
        description="From the network, most important channels first; new; or from the supernet.",
    )

    @property
    def shape(self) -> Shape:
        """What is asked of the family."""
        return Shape(
            width=self.width,
            depth=self.depth,
            kernel=self.kernel,
            expansion=self.expansion,
            resolution=self.resolution,
            excitation=self.excitation,
            activation=self.activation,
            cell=self.cell,
        )

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return self.shape != FamilyMember().shape or self.weights != "inherited"

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        parts = [f"width {self.width:g}"]
        parts += [f"depth {self.depth}"] if self.depth < _DEEPEST else []
        parts += [f"kernel {self.kernel}"] if self.kernel < _LARGEST_KERNEL else []
        parts += [f"expansion {self.expansion:g}"] if self.expansion < 1 else []
        parts += [f"at {self.resolution} px"] if self.resolution else []
        parts += [] if self.excitation else ["no excitation"]
        parts += [self.activation] if self.activation else []
        parts += [f"cell {'/'.join(self.cell)}"] if self.cell else []
        parts += [f"{self.weights} weights"] if self.weights != "inherited" else []
        return " ".join(parts)
