"""The fields sent together with an uploaded file, and the form in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from compress.network.families.catalog import Architecture
from compress.network.preprocessing import Normalisation
from compress.tasks.names import TaskName
from featherweight.specs.names import Name


class ModelSpec(BaseModel, frozen=True, extra="forbid"):
    """What a weights file is."""

    name: Name
    architecture: Architecture
    normalisation: Normalisation


class DatasetSpec(BaseModel, frozen=True, extra="forbid"):
    """What a dataset file is."""

    name: Name
    task: TaskName = "image_classification"


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
