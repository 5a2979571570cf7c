"""The fields sent together with an uploaded file, and the form in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, model_validator

from compress.network.families.catalog import Architecture
from compress.network.preprocessing import Normalisation
from compress.network.sources.source import Sizes
from compress.tasks.reading import DatasetReading
from featherweight.specs.names import Name


class ModelSpec(BaseModel, frozen=True, extra="forbid"):
    """What a network's file is: weights of the ``architecture``, or without one an ONNX file."""

    name: Name
    architecture: Architecture | None = Field(
        default=None, description="Family and config of safetensors weights; none: an ONNX file."
    )
    normalisation: Normalisation | None = Field(
        default=None,
        description="What happens to raw values before the network. Weights need one; an ONNX "
        "file without one takes the dataset's values as they are.",
    )

    input_shape: Sizes | None = Field(
        default=None,
        description="Axes of one example of an ONNX file that leaves them open; of images they are "
        "channels, height and width.",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> ModelSpec:
        if self.architecture is not None and self.input_shape is not None:
            raise ValueError("input_shape is for ONNX files: leave it out beside an architecture")
        if self.architecture is not None and self.normalisation is None:
            raise ValueError(
                "normalisation is missing: weights of an architecture do not say what they take"
            )
        return self


class DatasetSpec(DatasetReading, frozen=True, extra="forbid"):
    """What a dataset file is, and how it is read if it does not say so itself."""

    name: Name

    @property
    def reading(self) -> DatasetReading:
        """How the file is read."""
        return DatasetReading(**self.model_dump(include=set(DatasetReading.model_fields)))


UPLOAD = r"^[0-9a-zA-Z-]{1,36}$"
"""What the id of an upload may be."""
FORMS: tuple[type[BaseModel], ...] = (ModelSpec, DatasetSpec)


def openapi_body(spec: type[BaseModel]) -> dict[str, Any]:
    """Return the request body of a form with a JSON part and a file or a finished upload."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {"$ref": f"#/components/schemas/{spec.__name__}"},
            "file": {"type": "string", "format": "binary"},
            "upload": {"type": "string", "maxLength": 36, "pattern": UPLOAD},
        },
        "required": ["spec"],
        "oneOf": [{"required": ["file"]}, {"required": ["upload"]}],
        "additionalProperties": False,
    }
    form = {"schema": schema, "encoding": {"spec": {"contentType": "application/json"}}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form}}}
