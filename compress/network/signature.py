"""What a network takes and what it answers. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field

INPUT = "input"
OUTPUT = "logits"
BATCH = "N"
PortType = Literal["float32", "float64", "float16", "uint8", "int8", "int32", "int64", "bool"]
Layout = Literal["NCHW", "NHWC"]
"""The order of the axes of images: N images, C channels, H height, W width."""
ExampleShape: TypeAlias = tuple[int, ...]
"""The axes of one example, without the batch; those of an image are ``(C, H, W)``."""
IMAGE_AXES = 3
"""So many axes has one image."""


def _said(default: Any) -> Any:
    """A field that documents leave out where it says nothing new."""
    return Field(default=default, exclude_if=lambda value: value == default)


class Port(BaseModel, frozen=True, extra="forbid"):
    """One tensor that goes in or comes out.

    ``shape`` holds every axis, the batch too; ``dynamic`` lists the axes, from 0, that may have
    another size in every run, and ``axes`` their names if they are not just the batch. ``layout``
    is the order of the axes of images. ``softmax`` says that the port gives probabilities, by the
    logits' last axis.
    """

    name: str = Field(min_length=1)
    dtype: PortType = "float32"
    shape: tuple[int, ...]
    dynamic: tuple[int, ...] = ()
    axes: tuple[str, ...] = _said(())
    layout: Layout = _said("NCHW")
    softmax: bool = _said(False)

    @property
    def words(self) -> tuple[int | str, ...]:
        """The shape as a file says it: dynamic axes by their names."""
        names = dict(zip(self.dynamic, self.axes or (BATCH,), strict=False))
        return tuple(names.get(axis, size) for axis, size in enumerate(self.shape))

    def with_batch(self, size: int) -> tuple[int, ...]:
        """Return the shape with ``size`` along every dynamic axis."""
        return tuple(size if axis in self.dynamic else n for axis, n in enumerate(self.shape))


class Signature(BaseModel, frozen=True, extra="forbid"):
    """The tensors of one run of a network, in the order of its arguments and of its answers.

    ``metadata`` is what its file says besides, word for word.
    """

    inputs: tuple[Port, ...] = Field(min_length=1)
    outputs: tuple[Port, ...] = Field(min_length=1)
    metadata: Mapping[str, str] = _said({})

    @classmethod
    def of_examples(cls, input_shape: ExampleShape, *, num_classes: int) -> Signature:
        """Describe a network that maps examples, any number at a time, to logits."""
        return cls(
            inputs=(Port(name=INPUT, shape=(1, *input_shape), dynamic=(0,)),),
            outputs=(Port(name=OUTPUT, shape=(1, num_classes), dynamic=(0,)),),
        )
