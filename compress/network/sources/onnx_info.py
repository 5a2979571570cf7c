"""What an inspection of an ONNX file finds. Torch-free, and free of ONNX itself."""

from __future__ import annotations

from pydantic import BaseModel, Field

from compress.network.outline import LayerInfo, Outline
from compress.network.preprocessing import Normalisation
from compress.network.signature import AnswerForm, ExampleShape, Layout


class OnnxPort(BaseModel, frozen=True, extra="forbid"):
    """A tensor that goes in or comes out, as the file names it; words are axes of any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class OnnxPart(BaseModel, frozen=True, extra="forbid"):
    """The part of an example that an input takes; ``num_ids`` as of the whole, for it alone."""

    name: str
    shape: ExampleShape
    num_ids: int | None = None


class OnnxInfo(BaseModel, frozen=True, extra="forbid"):
    """A network that was uploaded as an ONNX file.

    ``input_shape`` is that of one example, of images ``(C, H, W)`` whatever the layout, which is
    ``NCHW`` for examples that are no images, and of several inputs that of ``packed_shape``;
    ``macs`` are for one example. ``num_classes`` counts the numbers along the last axis of the
    ``answer``.
    """

    inputs: tuple[OnnxPort, ...]
    outputs: tuple[OnnxPort, ...]
    layout: Layout
    input_shape: ExampleShape
    num_classes: int
    parameters: int
    macs: int
    layers: tuple[LayerInfo, ...]
    operators: dict[str, int] = Field(description="How often each operator occurs, once read.")
    notes: tuple[str, ...] = ()
    answer: AnswerForm = Field(
        default="rows",
        exclude_if=lambda value: value == "rows",
        description="What it answers: one row of numbers, a row for every place of a sequence, or "
        "all outputs packed flat into one row.",
    )
    parts: tuple[OnnxPart, ...] = Field(
        default=(),
        exclude_if=lambda value: not value,
        description="Of several inputs those that take data, in the order in which an example "
        "holds them; the others follow from these, as notes say.",
    )
    warnings: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda value: not value,
        description="What may make its answers worth less than they look.",
    )
    num_ids: int | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Of an input of whole numbers that pick rows of a table: the rows of that "
        "table, so that ids are less. None: another input.",
    )

    @property
    def identity(self) -> Normalisation:
        """The normalisation of raw values that the network takes as they are."""
        return Normalisation.identity_of(self.input_shape)


class InspectedNetwork(BaseModel, frozen=True, extra="forbid"):
    """A network that may be used."""

    info: OnnxInfo
    outline: Outline


class RefusedNetwork(BaseModel, frozen=True, extra="forbid"):
    """A file that is no network of ours, and why."""

    reasons: tuple[str, ...] = Field(min_length=1)


class InspectionVerdict(BaseModel, frozen=True, extra="forbid"):
    """What the inspecting process answers."""

    found: InspectedNetwork | RefusedNetwork
