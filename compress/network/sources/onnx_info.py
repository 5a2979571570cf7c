"""What an inspection of an ONNX file finds. Torch-free, and free of ONNX itself."""

from __future__ import annotations

from pydantic import BaseModel, Field

from compress.network.outline import LayerInfo, Outline
from compress.network.preprocessing import Normalisation
from compress.network.signature import Layout


class OnnxPort(BaseModel, frozen=True, extra="forbid"):
    """A tensor that goes in or comes out, as the file names it; words are axes of any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class OnnxInfo(BaseModel, frozen=True, extra="forbid"):
    """A network that was uploaded as an ONNX file.

    ``input_shape`` is ``(C, H, W)``, whatever the layout; ``macs`` are for one image.
    """

    inputs: tuple[OnnxPort, ...]
    outputs: tuple[OnnxPort, ...]
    layout: Layout
    input_shape: tuple[int, int, int]
    num_classes: int
    parameters: int
    macs: int
    layers: tuple[LayerInfo, ...]
    operators: dict[str, int] = Field(description="How often each operator occurs, once read.")
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> Normalisation:
        """The normalisation of raw values that the network takes as they are."""
        return Normalisation.identity(self.input_shape[0])


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
