"""What a network takes and what it answers. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

INPUT = "input"
OUTPUT = "logits"
Layout = Literal["NCHW", "NHWC"]
"""The order of the axes of images: N images, C channels, H height, W width."""


class Port(BaseModel, frozen=True, extra="forbid"):
    """One tensor that goes in or comes out.

    ``shape`` holds every axis, the batch too; ``dynamic`` lists the axes, from 0, that may have
    another size in every run.
    """

    name: str = Field(min_length=1)
    dtype: Literal["float32", "float64", "int8", "uint8", "int32", "int64", "bool"] = "float32"
    shape: tuple[int, ...]
    dynamic: tuple[int, ...] = ()

    def with_batch(self, size: int) -> tuple[int, ...]:
        """Return the shape with ``size`` along every dynamic axis."""
        return tuple(size if axis in self.dynamic else n for axis, n in enumerate(self.shape))


class Signature(BaseModel, frozen=True, extra="forbid"):
    """The tensors of one run of a network, in the order of its arguments and of its answers."""

    inputs: tuple[Port, ...] = Field(min_length=1)
    outputs: tuple[Port, ...] = Field(min_length=1)

    @classmethod
    def of_images(cls, input_shape: tuple[int, int, int], *, num_classes: int) -> Signature:
        """Describe a network that maps images ``(C, H, W)``, any number at a time, to logits."""
        return cls(
            inputs=(Port(name=INPUT, shape=(1, *input_shape), dynamic=(0,)),),
            outputs=(Port(name=OUTPUT, shape=(1, num_classes), dynamic=(0,)),),
        )
