"""What a network takes and what it answers. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
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
Made: TypeAlias = Literal["mask", "zeros"]
"""How values of a port follow from the ids of another: 1 where these are not 0, or always 0."""
AnswerForm: TypeAlias = Literal["rows", "sequence", "packed"]
"""What a network answers: ``(N, K)``, ``(N, L, K)``, or all of its outputs as one row, ``(N, D)``.

A packed row has every output in its order, each flat.
"""


def packed_shape(shapes: Sequence[ExampleShape]) -> ExampleShape:
    """Return the shape of one example of which several ports take a part.

    One part is the example itself. P sequences of one length lie under each other, ``(P, L)``;
    all others lie flat, one after the other, ``(D,)``.
    """
    if len(shapes) == 1:
        return shapes[0]
    if is_stacked(shapes):
        return (len(shapes), *shapes[0])
    return (sum(map(prod, shapes)),)


def is_stacked(shapes: Sequence[ExampleShape]) -> bool:
    """Whether several parts are sequences of one length, which lie under each other."""
    return len(shapes) > 1 and len(set(shapes)) == 1 and len(shapes[0]) == 1


def answer_form(ranks: Sequence[int]) -> AnswerForm:
    """Return the form of an answer whose outputs have so many axes, the batch among them."""
    match ranks:
        case [1 | 2]:
            return "rows"
        case [3]:
            return "sequence"
        case _:
            return "packed"


_AS_NCHW = {1: 2, 2: 3, 3: 1}
"""The place of each axis of images with channels last among those with channels first."""


def _said(default: Any) -> Any:
    """A field that documents leave out where it says nothing new."""
    return Field(default=default, exclude_if=lambda value: value == default)


class Port(BaseModel, frozen=True, extra="forbid"):
    """One tensor that goes in or comes out.

    ``shape`` holds every axis, the batch too; ``dynamic`` lists the axes, from 0, that may have
    another size in every run, and ``axes`` their names if they are not just the batch. ``layout``
    is the order of the axes of images. ``softmax`` says that the port gives probabilities, by the
    logits' last axis. ``made`` says that no data has the values of an input, which follow from the
    ids of the one that has.
    """

    name: str = Field(min_length=1)
    dtype: PortType = "float32"
    shape: tuple[int, ...]
    dynamic: tuple[int, ...] = ()
    axes: tuple[str, ...] = _said(())
    layout: Layout = _said("NCHW")
    softmax: bool = _said(False)
    made: Made | None = _said(None)

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

    @property
    def taken(self) -> tuple[Port, ...]:
        """The inputs whose values come from data, in their order."""
        return tuple(port for port in self.inputs if port.made is None)

    @property
    def parts(self) -> tuple[ExampleShape, ...]:
        """The shapes of the parts of one example, each in the order of its port."""
        return tuple(port.shape[1:] for port in self.taken)

    @property
    def has_one_input(self) -> bool:
        """Whether an example is what the one input takes."""
        return len(self.inputs) == 1

    @property
    def answer(self) -> AnswerForm:
        """What the network answers, within this program."""
        return answer_form([len(port.shape) for port in self.outputs])

    @property
    def example_shape(self) -> ExampleShape:
        """The shape of one example, as its ports lie in the file."""
        return packed_shape(self.parts)

    @property
    def has_plain_answer(self) -> bool:
        """Whether the answer is what the one output gives, with an axis behind the batch."""
        return self.answer != "packed" and len(self.outputs[0].shape) > 1

    @property
    def width(self) -> int:
        """The numbers along the last axis of the answer to one example."""
        if self.answer == "packed":
            return self.numbers
        return self.outputs[0].shape[-1] if self.has_plain_answer else 1

    @property
    def numbers(self) -> int:
        """The numbers of the answer to one example."""
        return sum(prod(port.shape[1:]) for port in self.outputs)

    @property
    def open_axes(self) -> tuple[int, ...]:
        """The axes of a batch of examples, from 1, that may have another size in every run."""
        first = self.taken[0]
        axes = [axis for axis in first.dynamic if axis]
        if len(self.taken) == 1:
            return tuple(_AS_NCHW[a] for a in axes) if first.layout == "NHWC" else tuple(axes)
        return (2,) if axes and is_stacked(self.parts) else ()

    @classmethod
    def of_examples(cls, input_shape: ExampleShape, *, num_classes: int) -> Signature:
        """Describe a network that maps examples, any number at a time, to logits."""
        return cls(
            inputs=(Port(name=INPUT, shape=(1, *input_shape), dynamic=(0,)),),
            outputs=(Port(name=OUTPUT, shape=(1, num_classes), dynamic=(0,)),),
        )


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The data that a network shall be made for.

    ``input_shape`` is that of one example. ``words`` counts the ids of the data from 0 on, one
    number for all or one for each feature of a word; None if its values are no ids.
    """

    task: str
    input_shape: ExampleShape
    words: tuple[int, ...] | None
