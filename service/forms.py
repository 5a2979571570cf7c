"""What comes beside an uploaded file, and how the form looks in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from compress.families.catalog import Architecture, Normalisation
from featherweight.specs.names import Name


class ModelSpec(BaseModel, frozen=True, extra="forbid"):
    """What a weights file is."""

    name: Name
    architecture: Architecture
    normalisation: Normalisation


class DatasetSpec(BaseModel, frozen=True, extra="forbid"):
    """What a dataset file is."""

    name: Name
    task: Literal["image_classification"] = "image_classification"


UPLOAD = r"^[0-9a-zA-Z-]{1,36}$"
"""What the id of an upload may be."""
FORMS: tuple[type[BaseModel], ...] = (ModelSpec, DatasetSpec)


def openapi_body(spec: type[BaseModel]) -> dict[str, Any]:
    """The request body of a form with a JSON part and a file or a finished upload."""
    file = {"type": "string", "format": "binary"}
    upload = {"type": "string", "maxLength": 36, "pattern": UPLOAD}
    schema = {"oneOf": [_parts(spec, file=file), _parts(spec, upload=upload)]}
    form = {"schema": schema, "encoding": {"spec": {"contentType": "application/json"}}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form}}}


def _parts(spec: type[BaseModel], **content: dict[str, Any]) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{spec.__name__}"}
    return {
        "type": "object",
        "properties": {"spec": reference, **content},
        "required": ["spec", *content],
        "additionalProperties": False,
    }
