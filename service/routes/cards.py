"""What stands beside a file: its model card, and programs that run it."""

import hashlib
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from featherweight.cards import markdown, snippets
from featherweight.cards.card import ModelCard
from featherweight.errors import NoSnippet
from service.access.auth import READ
from service.errors import NotDescribed
from service.http.openapi import problems
from service.http.parameters import ArtifactId, LanguageName, TargetName
from service.http.routing import router as guarded
from service.reports import cards
from service.resources import Resources, ResourcesDep
from service.routes import artifacts
from service.shared import conditional
from service.shared.conditional import NOT_MODIFIED

router = guarded("artifacts")

_JSON, _MARKDOWN = "application/json", "text/markdown"
_LONGEST_ACCEPT = 1000
CardFormat = Annotated[
    Literal["json", "markdown"] | None,
    Query(description="Form of the card; left out: Markdown for who accepts that first."),
]
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}


@router.get(
    "/v1/artifacts/{artifact_id}/card",
    operation_id="get_card",
    dependencies=[READ],
    response_model=ModelCard,
    responses={
        200: {**NOT_MODIFIED[200], "content": {_MARKDOWN: _TEXT}},
        304: NOT_MODIFIED[304],
        **problems(422, 503),
    },
)
async def get_card(
    resources: ResourcesDep,
    request: Request,
    artifact_id: ArtifactId,
    target: TargetName = None,
    format: CardFormat = None,
) -> Response:
    """What a file takes, answers and costs, how accurate it is, where it runs and comes from.

    JSON, or Markdown by `format` or `Accept`. With a `target` it is the card of that form.
    """
    served = await artifacts.served(resources, artifact_id, target)
    card = await run_in_threadpool(artifacts.card, resources, served)
    chosen = format or _accepted(request)
    text = markdown.write(card) if chosen == "markdown" else card.model_dump_json()
    media_type = f"{_MARKDOWN}; charset=utf-8" if chosen == "markdown" else _JSON
    body = text.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()}"'
    answer = conditional.respond(request, body, etag=etag, media_type=media_type)
    answer.headers["Vary"] = f"Accept, {answer.headers['Vary']}"
    return answer


@router.get(
    "/v1/artifacts/{artifact_id}/snippets/{language}",
    operation_id="get_snippet",
    dependencies=[READ],
    response_class=Response,
    responses={
        200: {"description": "A program", "content": {"text/plain": _TEXT}},
        **problems(422),
    },
)
async def get_snippet(
    resources: ResourcesDep, artifact_id: ArtifactId, language: LanguageName
) -> Response:
    """A program that runs the file, in any target's form, in ONNX Runtime."""
    served = await artifacts.served(resources, artifact_id, None)
    text = await run_in_threadpool(_snippet, resources, served, language)
    filename = snippets.LANGUAGES[language].filename
    return Response(
        text,
        media_type="text/plain; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{filename}"',
            "Cache-Control": "private, no-cache",
        },
    )


def _snippet(resources: Resources, served: artifacts.Served, language: str) -> str:
    file, document, around = artifacts.described(resources, served)
    try:
        return snippets.write(cards.described(file.header, document, around), language)
    except NoSnippet as error:
        raise NotDescribed(str(error)) from error


def _accepted(request: Request) -> Literal["json", "markdown"]:
    """Return the first of both media types that the asker names; JSON for all others."""
    said = request.headers.get("accept", "")[:_LONGEST_ACCEPT]
    for entry in said.split(","):
        kind = entry.split(";")[0].strip().lower()
        if kind == _MARKDOWN:
            return "markdown"
        if kind in (_JSON, "application/*", "*/*"):
            return "json"
    return "json"
