"""Complete the OpenAPI document, so that it lists every problem that an operation may answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from featherweight import __version__
from featherweight.documents import MAX_WHOLE_NUMBER
from featherweight.specs.schemas import Problem
from service.http.forms import FORMS
from service.http.problem_details import MEDIA_TYPE

DESCRIPTION = (
    "Send a trained network and its data; get back a front of smaller networks as real files.\n\n"
    "Every error is `application/problem+json`; its `code` is the name of the error's class. "
    "Texts must not hold the zero character, and whole numbers have at most 64 bits."
)
WORDS = {
    400: "The request could not be read",
    401: "A valid token is needed",
    403: "The token lacks the scope, it belongs to another owner, a limit of the owner is reached, "
    "or the request comes from a foreign page",
    404: "There is nothing of this id",
    408: "The rest of the body did not come in time",
    409: "It contradicts what is stored",
    410: "The job was deleted; only its spec is left",
    413: "The body is over the limit",
    415: "The content type is not taken here",
    416: "The range lies outside the file",
    422: "The request is not valid; `errors` says where",
    429: "Too much at once of this token or address; try again later",
    500: "An unexpected error",
    503: "The database or another part cannot be reached; try again later",
    507: "The disk of the service is full; try again later",
}
_OF_JOBS = ("{job_id}", "{trial_id}", "{artifact_id}")
"""In paths of what goes with a deleted job."""


def header(description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a header that every answer of its status has."""
    return {"description": description, "required": True, "schema": schema or {"type": "string"}}


_SECONDS = {"type": "integer", "minimum": 0, "maximum": 3600}
_AGAIN = {"Retry-After": header("Seconds to wait before another try.", _SECONDS)}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": header("How to authenticate.")},
    416: {"Content-Range": header("The size of the file.")},
    429: _AGAIN,
    503: _AGAIN,
    507: _AGAIN,
}
CHANGES = "#/components/schemas/JobChanges"
LOCATION = {"Location": header("Address of what was made.")}
_STORABLE = r"^[^\u0000]*$"
_REF = "#/components/schemas/Problem"
_FASTAPI_REF = "#/components/schemas/HTTPValidationError"


def problem(status: int) -> dict[str, Any]:
    """Return the response object of a problem."""
    found: dict[str, Any] = {
        "description": WORDS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF}}},
    }
    return {**found, "headers": _HEADERS[status]} if status in _HEADERS else found


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of a route: the statuses that are its own."""
    return {status: problem(status) for status in statuses}


def install(app: FastAPI, *, max_upload_bytes: int) -> None:
    """Serve the completed document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title="Featherweight",
                    version=__version__,
                    description=DESCRIPTION,
                    routes=app.routes,
                ),
                max_upload_bytes=max_upload_bytes,
            )
        return app.openapi_schema

    app.openapi = document


def _complete(document: dict[str, Any], *, max_upload_bytes: int) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for name, schema in _further_schemas().items():
        schemas.setdefault(name, schema)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _add_problems(path, operation)
            for parameter in operation.get("parameters", []):
                _drop_null(parameter)
        if "get" in operations:
            operations["head"] = _head(operations["get"])
    schemas["JobChanges"] = _changes(schemas["JobSpec-Input"])
    schemas["UploadSpec"]["properties"]["size_bytes"]["maximum"] = max_upload_bytes
    _complete_schemas(schemas)
    _complete_schemas(document["paths"])
    _require_tags(document, schemas)
    return document


def _changes(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a document of which only some fields are given."""
    kept = {name: part for name, part in whole.items() if name != "required"}
    return kept | {"title": "JobChanges", "description": "Fields of a job, and their new values."}


def _head(get: dict[str, Any]) -> dict[str, Any]:
    """Return the same operation without a body: every GET is answered to HEAD, too."""
    responses = {
        status: {name: part for name, part in response.items() if name != "content"}
        for status, response in get["responses"].items()
    }
    words = {"summary": f"Headers of: {get['summary']}", "description": "The headers of GET."}
    return {**get, **words, "operationId": f"head_{get['operationId']}", "responses": responses}


def _require_tags(node: Any, schemas: dict[str, Any]) -> None:
    """Require the tag in every kind of a tagged union, as the tag tells them apart."""
    if isinstance(node, list):
        for child in node:
            _require_tags(child, schemas)
    elif isinstance(node, dict):
        for reference in node.get("discriminator", {}).get("mapping", {}).values():
            kind, tag = schemas[reference.rpartition("/")[2]], node["discriminator"]["propertyName"]
            kind["required"] = sorted({*kind.get("required", []), tag})
        for child in node.values():
            _require_tags(child, schemas)


def _further_schemas() -> dict[str, Any]:
    """Return schemas of bodies that FastAPI does not read itself."""
    wanted = [(Problem, "serialization"), *((form, "validation") for form in FORMS)]
    _, document = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    return document["$defs"]


def _add_problems(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if _FASTAPI_REF in str(responses.get("422")):
        del responses["422"]
    for status in _general(path, operation):
        responses[str(status)] = _either(responses.get(str(status), {}), problem(status))
    operation["responses"] = dict(sorted(responses.items()))
    if not any(entry.get("token") for entry in operation.get("security", [])):
        # FastAPI writes {"token": []} for a scheme without scopes: the address is public.
        operation["security"] = []


def _either(own: dict[str, Any], general: dict[str, Any]) -> dict[str, Any]:
    """Return a response that may be the route's own or a problem."""
    content = {**own.get("content", {}), **general["content"]}
    return {**general, **own, "content": content}


def _general(path: str, operation: dict[str, Any]) -> list[int]:
    found = [422, 500, 503, 507]
    if any(entry.get("token") for entry in operation.get("security", [])):
        found += [401, 403]
    if "requestBody" in operation:
        found += [400, 408, 413, 415, 429]
    if "{" in path:
        found += [404]
    if any(of_job in path for of_job in _OF_JOBS):
        found += [410]
    return found


def _complete_schemas(node: Any) -> None:
    """Add to every schema below what ``read_json`` refuses anywhere."""
    if isinstance(node, list):
        for child in node:
            _complete_schemas(child)
    elif isinstance(node, dict):
        _RULES.get(str(node.get("type")), _as_it_is)(node)
        for child in list(node.values()):
            _complete_schemas(child)


def _as_it_is(schema: dict[str, Any]) -> None:
    return


def _bound_integer(schema: dict[str, Any]) -> None:
    if {"enum", "const"} & schema.keys():
        return
    if not {"maximum", "exclusiveMaximum"} & schema.keys():
        schema["maximum"] = MAX_WHOLE_NUMBER
    if not {"minimum", "exclusiveMinimum"} & schema.keys():
        schema["minimum"] = -MAX_WHOLE_NUMBER


def _bound_string(schema: dict[str, Any]) -> None:
    if not {"enum", "const", "pattern", "format"} & schema.keys():
        schema["pattern"] = _STORABLE


def _bound_names(schema: dict[str, Any]) -> None:
    if "patternProperties" in schema:
        # Pydantic says what names of the pattern are, and not that there are no others.
        schema.setdefault("additionalProperties", False)
    if schema.get("additionalProperties") not in (None, False):
        names = schema.setdefault("propertyNames", {})
        if not {"enum", "const", "pattern", "format", "$ref"} & names.keys():
            names["pattern"] = _STORABLE


_RULES: dict[str, Callable[[dict[str, Any]], None]] = {
    "integer": _bound_integer,
    "string": _bound_string,
    "object": _bound_names,
}


def _drop_null(parameter: dict[str, Any]) -> None:
    """Remove null from an optional parameter: an address cannot express it."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])
