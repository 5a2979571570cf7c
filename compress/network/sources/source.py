"""Where a network comes from, as a value that jobs, assignments and manifests hold. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Discriminator, Field, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema, core_schema

from compress.network.families import outlining
from compress.network.families.catalog import Architecture
from compress.network.outline import Outline
from compress.network.signature import ExampleShape


@dataclass(frozen=True)
class FamilySource:
    """A network of a family, by its config.

    Its document is that of the config: whoever wrote an ``architecture`` before wrote a source.
    """

    config: Architecture

    def outline(self, *, input_shape: ExampleShape, num_classes: int) -> Outline:
        """Describe the network for images ``(C, H, W)`` without building it."""
        return outlining.outline(self.config, input_shape=input_shape, num_classes=num_classes)

    def __str__(self) -> str:
        """The config and the family in words, for messages."""
        given = self.config.model_dump_json(exclude_defaults=True)
        return f"{given} of the family {self.config.family!r}"

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        document = handler.generate_schema(Architecture)
        config = core_schema.no_info_before_validator_function(_config, document)
        written = core_schema.plain_serializer_function_ser_schema(_config, return_schema=document)
        return core_schema.no_info_after_validator_function(cls, config, serialization=written)


Side = Annotated[int, Field(ge=1, le=65_536)]
Sizes: TypeAlias = Annotated[tuple[Side, ...], Field(min_length=1, max_length=6)]
"""Of the axes of one example."""


class OnnxSource(BaseModel, frozen=True, extra="forbid"):
    """A network that was uploaded as an ONNX file, which holds all of it."""

    format: Literal["onnx"] = "onnx"
    sha256: str = Field(max_length=64, pattern=r"^[0-9a-f]{64}$", description="Of the file.")
    input_shape: Sizes | None = Field(
        default=None,
        description="Axes of one example, of images channels, height and width, where the file "
        "leaves them open.",
    )

    def __str__(self) -> str:
        """The file in words, for messages."""
        return f"the ONNX file {self.sha256[:12]}"


def _kind(value: Any) -> str:
    """Tell the sources apart: only documents of files say what ``format`` these have."""
    is_file = "format" in value if isinstance(value, Mapping) else isinstance(value, OnnxSource)
    return "onnx" if is_file else "family"


NetworkSource: TypeAlias = Annotated[
    Annotated[FamilySource, Tag("family")] | Annotated[OnnxSource, Tag("onnx")],
    Discriminator(_kind),
]
"""All sources that a network can have."""


def _config(value: Any) -> Any:
    return value.config if isinstance(value, FamilySource) else value
