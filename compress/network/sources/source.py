"""Where a network comes from, as a value that jobs, assignments and manifests hold. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema, core_schema

from compress.network.families import outlining
from compress.network.families.catalog import Architecture, Tagged, named, without_family
from compress.network.families.drawn import catalog as drawn
from compress.network.families.drawn.catalog import DRAWN_BY_NAME, DrawnArchitecture
from compress.network.families.drawn.config import DrawnConfig
from compress.network.outline import Outline
from compress.network.signature import Examples, ExampleShape


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
        return _of_config(cls, handler.generate_schema(Architecture))


@dataclass(frozen=True)
class DrawnSource:
    """A network of a drawn family, by its config; it is fitted to the data that it is for."""

    config: DrawnArchitecture

    def fitted(self, examples: Examples) -> DrawnSource:
        """Return the source with all that the data decides.

        Raises InvalidCandidate for examples, or a task, that its networks are not for.
        """
        return DrawnSource(drawn.fitted(self.config, examples))

    def outline(self, *, input_shape: ExampleShape, num_classes: int) -> Outline:
        """Describe the network of a fitted config without drawing its weights."""
        return drawn.outline(self.config, input_shape=input_shape, num_classes=num_classes)

    def __str__(self) -> str:
        """The config and the family in words, for messages."""
        given = self.config.model_dump_json(exclude_defaults=True)
        return f"{given} of the family {self.config.family!r}"

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _of_config(cls, handler.generate_schema(DrawnArchitecture))


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
    return "onnx" if is_file else _family_kind(value)


def _family_kind(value: Any) -> str:
    """Tell the families that are drawn for their data from those of images, by their names."""
    if isinstance(value, Mapping):
        return "drawn" if value.get("family") in DRAWN_BY_NAME else "family"
    return "drawn" if isinstance(value, DrawnSource | DrawnConfig) else "family"


_Any: TypeAlias = Annotated[Tagged | DrawnArchitecture, Field(discriminator="family")]
_ANY: TypeAlias = Annotated[
    _Any, BeforeValidator(named, json_schema_input_type=_Any | without_family())
]


class _Trainable:
    """Reads the config of any family, and makes a source of it."""

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _of_config(_source, handler.generate_schema(_ANY))


TrainableSource: TypeAlias = Annotated[FamilySource | DrawnSource, _Trainable()]
"""All sources of networks that begin with new weights, by the names of their families."""
NetworkSource: TypeAlias = Annotated[
    Annotated[FamilySource, Tag("family")]
    | Annotated[DrawnSource, Tag("drawn")]
    | Annotated[OnnxSource, Tag("onnx")],
    Discriminator(_kind),
]
"""All sources that a network can have."""


def _of_config(make: Callable[[Any], Any], document: CoreSchema) -> CoreSchema:
    """Make a source of a config, as a document has it or as it is."""
    config = core_schema.no_info_before_validator_function(_config, document)
    written = core_schema.plain_serializer_function_ser_schema(_config, return_schema=document)
    return core_schema.no_info_after_validator_function(make, config, serialization=written)


def _source(config: Architecture | DrawnArchitecture) -> FamilySource | DrawnSource:
    return DrawnSource(config) if isinstance(config, DrawnConfig) else FamilySource(config)


def _config(value: Any) -> Any:
    return value.config if isinstance(value, FamilySource | DrawnSource) else value
