"""The document is the service: whole, valid, and nothing of a route is missing from it."""

import json
import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.app import create_app
from tests.service.addresses import address, named, routes
from tests.service.running import problem, spec

DOCUMENT = create_app().openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
HIDDEN = re.compile(
    r"^/($|ui|login|logout|docs|favicon|openapi.json|dashboard|api/|static/|csv/|artifacts/)"
)
"""Pages for browsers, the document itself, and what the dashboard answers."""


SHOWN = [route for route in routes() if not HIDDEN.match(route.path)]


def nodes(node):
    if isinstance(node, dict):
        yield node
    for child in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from nodes(child)


def test_the_document_is_valid_openapi():
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []
    assert json.loads(json.dumps(DOCUMENT, allow_nan=False)) == DOCUMENT


def test_no_reference_dangles():
    found = [node["$ref"] for node in nodes(DOCUMENT) if isinstance(node.get("$ref"), str)]
    found += [
        reference
        for node in nodes(DOCUMENT)
        for reference in node.get("discriminator", {}).get("mapping", {}).values()
    ]
    names = {reference.removeprefix("#/components/schemas/") for reference in found}
    assert len(names) > 50
    assert names - set(SCHEMAS) == set()


def test_every_kind_of_a_tagged_union_requires_its_tag():
    unions = [node for node in nodes(DOCUMENT) if "discriminator" in node]
    assert unions
    for union in unions:
        tag = union["discriminator"]["propertyName"]
        for kind in union["oneOf"]:
            schema = SCHEMAS[kind["$ref"].rpartition("/")[2]]
            assert tag in schema["required"], (schema["title"], tag)


def test_an_architecture_without_its_family_is_in_the_document_as_it_is_taken(house):
    house.dataset()
    architecture = {"widths": [4, 8], "depths": [1, 1]}
    body = spec(model={"architecture": architecture, "epochs": 1})
    assert house.client.post("/v1/jobs", json=body).status_code == 201
    assert set(architecture) < set(SCHEMAS["UnnamedResidual"]["properties"])
    assert "family" not in SCHEMAS["UnnamedResidual"]["properties"]


@pytest.mark.parametrize("route", SHOWN, ids=named)
def test_every_route_is_an_operation_of_the_document(route):
    for method in route.methods:
        assert f"{method} {route.path}" in OPERATIONS


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_documents_what_any_of_its_kind_may_answer(name):
    operation = OPERATIONS[name]
    expected = {"422", "500", "503", "507"}
    if any(entry.get("token") for entry in operation["security"]):
        expected |= {"401", "403"}
    if "requestBody" in operation:
        expected |= {"400", "408", "413", "415", "429"}
    responses = operation["responses"]
    assert expected - set(responses) == set()
    for status, response in responses.items():
        if int(status) >= 400 and not name.startswith("HEAD"):
            assert "application/problem+json" in response["content"], (name, status)
        if name.startswith("HEAD"):
            assert "content" not in response
    assert {"Retry-After"} <= set(responses["503"]["headers"])


@pytest.mark.parametrize("route", routes("GET"), ids=named)
def test_every_get_is_answered_to_head_with_its_status_and_no_body(house, route):
    got = house.client.get(address(route), follow_redirects=False)
    head = house.client.head(address(route), follow_redirects=False)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers.get("content-type") == got.headers.get("content-type")


@pytest.mark.parametrize("route", [r for r in routes() if r._media_types()], ids=named)
def test_a_body_of_another_content_type_is_415_before_it_is_read(house, route):
    method = sorted(route.methods)[0]
    for kind in ("text/plain", "application/xml", "image/png", "application/jsonx"):
        answer = house.client.request(
            method, address(route), content=b'{"a": 1}', headers={"Content-Type": kind, **FENCED}
        )
        detail = problem(answer, 415, "UnsupportedMediaType")["detail"]
        assert kind in detail
        assert any(taken in detail for taken in route._media_types())


FENCED = {"Fencing-Token": "x", "Upload-Offset": "0"}


def test_a_document_without_a_content_type_is_415(house):
    client = house.client
    answer = client.post("/v1/jobs", content=json.dumps(spec()))
    assert answer.request.headers.get("content-type") is None
    problem(answer, 415, "UnsupportedMediaType")


def test_names_of_a_pattern_are_all_that_a_mapping_takes():
    found = [node for node in nodes(DOCUMENT) if "patternProperties" in node]
    assert found
    assert all(node["additionalProperties"] is False for node in found)


def test_every_number_of_a_request_is_bounded():
    seen, found = set(), []
    for operation in OPERATIONS.values():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            found += unbounded(content["schema"], "", seen)
        for parameter in operation.get("parameters", []):
            found += unbounded(parameter["schema"], parameter["name"], seen)
    assert {"Measurement", "JobSpec-Input"} <= seen
    assert found == []


def unbounded(schema, where, seen):
    """Places of numbers below a schema that have no least or no largest value."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            yield from unbounded(SCHEMAS[name], name, seen)
    elif is_unbounded(schema):
        yield where
    for name, part in parts(schema):
        yield from unbounded(part, f"{where}.{name}", seen)


def is_unbounded(schema):
    is_number = schema.get("type") in ("number", "integer") and not {"enum", "const"} & set(schema)
    least, most = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}
    return is_number and not (least & set(schema) and most & set(schema))


def parts(schema):
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        yield from ((key, part) for part in schema.get(key, []))
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield key, schema[key]
    yield from schema.get("properties", {}).items()
