"""The class of every route: it checks who asks, then what they ask, then how much they send."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from featherweight import documents
from featherweight.specs.protocol import Report
from service.access import auth
from service.errors import UnsupportedMediaType
from service.http import body_parsing, queries, strict_json


class Guarded(APIRoute):
    """Checks scopes and parameters before a byte of the body is read, and limits documents.

    FastAPI would parse the body first and only then check dependencies, and it would ignore
    parameters that the route does not name.
    """

    passes_queries_on = False
    """False for routes whose parameters are checked by another application."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint behind the guards."""
        endpoint = super().get_route_handler()
        scopes = auth.scopes_of(self.dependencies)
        assert scopes is not None, f"{self.path} does not say who may use it"
        parameters = None if self.passes_queries_on else queries.of_route(self.dependant)
        takes_document, kind = self.body_field is not None, self._document_kind()
        media_types = self._media_types()

        async def handle(request: Request) -> Response:
            if scopes:
                await run_in_threadpool(auth.authorise, request, scopes)
            if parameters is not None:
                parameters.check(request)
            if media_types:
                _check_media_type(request, media_types)
            if takes_document:
                request = await _document(request, kind, takes_yaml=_YAML in media_types)
            return _without_body_for_head(request, await endpoint(request))

        return handle

    def _document_kind(self) -> type[BaseModel] | None:
        for parameter in self.dependant.body_params:
            kind = parameter.field_info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                return kind
        return None

    def _media_types(self) -> frozenset[str]:
        """Return the content types that a body of this route may have, as documented."""
        extra = (self.openapi_extra or {}).get("requestBody", {}).get("content", {})
        return frozenset({*extra, *([_JSON] if self.body_field is not None else [])})


class PassedOn(Guarded):
    """Routes of the dashboard's pages: all parameters are passed on, as it knows its own."""

    passes_queries_on = True


class GuardedRouter(APIRouter):
    """A router that answers HEAD for every GET."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **named: Any) -> None:
        """Add the route; the document gets HEAD from GET (``openapi``)."""
        super().add_api_route(path, endpoint, **named)
        if {"GET"} == set(named.get("methods") or ["GET"]):
            hidden = {**named, "methods": ["HEAD"], "include_in_schema": False}
            super().add_api_route(path, endpoint, **hidden)


def router(tag: str, *, route_class: type[Guarded] = Guarded) -> APIRouter:
    """Return a router of guarded routes."""
    return GuardedRouter(route_class=route_class, tags=[tag])


_JSON = "application/json"
_YAML = "application/yaml"
_RAW = frozenset({"application/octet-stream"})


def _check_media_type(request: Request, taken: frozenset[str]) -> None:
    """Refuse a body of another type before it is read; raw bytes need no content type."""
    told = body_parsing.media_type(request)
    if not told and (taken & _RAW or not _has_body(request)):
        return
    if told in taken or (_JSON in taken and _is_json(told)):
        return
    if _YAML in taken and told in body_parsing.YAML_TYPES:
        return
    expected = " or ".join(sorted(taken))
    raise UnsupportedMediaType(f"expected {expected}, got {told[:100] or 'no content type'}")


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return "transfer-encoding" in request.headers or length.strip("0") != ""


def _without_body_for_head(request: Request, response: Response) -> Response:
    if request.method == "HEAD":
        # Its headers stay those of GET, the length among them.
        response.body = b""
    return response


async def _document(
    request: Request, kind: type[BaseModel] | None, *, takes_yaml: bool
) -> body_parsing.DocumentRequest:
    """Return the request with its body read, and parsed if it is JSON or YAML of a known kind.

    FastAPI would parse in the event loop, and block everybody else. What it gets here is already a
    value of the right kind, which it accepts as it is.
    """
    document = body_parsing.DocumentRequest(request.scope, request.receive)
    body = await document.body()
    if takes_yaml and body_parsing.media_type(request) in body_parsing.YAML_TYPES:
        body = await run_in_threadpool(body_parsing.yaml_as_json, body)
        document = body_parsing.ReplayedRequest(request.scope, request.receive, body)
    if body:
        document.take(await run_in_threadpool(_understood, kind, body))
    return document


def _is_json(media_type: str) -> bool:
    """Return whether FastAPI treats the content type as JSON."""
    return media_type == _JSON or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _understood(kind: type[BaseModel] | None, body: bytes) -> Any:
    most = documents.MAX_VALUES_OF_PROFILES if kind is Report else documents.MAX_VALUES
    document = body_parsing.parsed(body, most_values=most)
    return document if kind is None else strict_json.understand(kind, document)
