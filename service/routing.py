"""The class of every route: first who asks, then how much they send, then the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from featherweight import documents
from featherweight.specs.protocol import Report
from service import auth, bodies, strictness


class Guarded(APIRoute):
    """Checks scopes before a byte of the body is read, and reads documents with a bound.

    FastAPI itself would parse the body first and only then look at dependencies.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint behind the guards."""
        endpoint = super().get_route_handler()
        scopes = auth.scopes_of(self.dependencies)
        assert scopes is not None, f"{self.path} does not say who may use it"
        takes_document, kind = self.body_field is not None, self._document_kind()
        takes_yaml = _takes_yaml(self.openapi_extra)

        async def handle(request: Request) -> Response:
            if scopes:
                await run_in_threadpool(auth.authorise, request, scopes)
            if takes_document:
                request = await _document(request, kind, takes_yaml=takes_yaml)
            return await endpoint(request)

        return handle

    def _document_kind(self) -> type[BaseModel] | None:
        for parameter in self.dependant.body_params:
            kind = parameter.field_info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                return kind
        return None


def router(tag: str) -> APIRouter:
    """A router of guarded routes."""
    return APIRouter(route_class=Guarded, tags=[tag])


async def _document(
    request: Request, kind: type[BaseModel] | None, *, takes_yaml: bool
) -> bodies.DocumentRequest:
    """The request with its body read, and understood where it is JSON or YAML of a known kind.

    FastAPI would do that in the event loop, in which everybody else waits; what it is given here
    is a value of the right kind already, and it takes that as it is.
    """
    document = bodies.DocumentRequest(request.scope, request.receive)
    body = await document.body()
    if takes_yaml and bodies.media_type(request) in bodies.YAML_TYPES:
        body = await run_in_threadpool(bodies.yaml_as_json, body)
        document = bodies.ReplayedRequest(request.scope, request.receive, body)
    if body and _is_json(bodies.media_type(document)):
        document.take(await run_in_threadpool(_understood, kind, body))
    return document


def _is_json(media_type: str) -> bool:
    """As FastAPI sees it."""
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _understood(kind: type[BaseModel] | None, body: bytes) -> Any:
    most = documents.MAX_VALUES_OF_PROFILES if kind is Report else documents.MAX_VALUES
    document = bodies.parsed(body, most_values=most)
    return document if kind is None else strictness.understand(kind, document)


def _takes_yaml(extra: dict[str, Any] | None) -> bool:
    return "application/yaml" in (extra or {}).get("requestBody", {}).get("content", {})
