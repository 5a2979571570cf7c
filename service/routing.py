"""The class of every route: first who asks, then how much they send, then the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

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
                document = await _document(request, takes_yaml=takes_yaml)
                if kind is not None and bodies.media_type(document) == "application/json":
                    strictness.check(kind, await document.json())
                request = document
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


async def _document(request: Request, *, takes_yaml: bool) -> bodies.DocumentRequest:
    checked = bodies.DocumentRequest(request.scope, request.receive)
    body = await checked.body()
    if takes_yaml and bodies.media_type(request) in bodies.YAML_TYPES:
        translated = await run_in_threadpool(bodies.yaml_as_json, body)
        return bodies.ReplayedRequest(request.scope, request.receive, translated)
    return checked


def _takes_yaml(extra: dict[str, Any] | None) -> bool:
    return "application/yaml" in (extra or {}).get("requestBody", {}).get("content", {})
