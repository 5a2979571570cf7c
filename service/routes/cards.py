"""What stands beside a file: its model card, and programs that run it."""

import hashlib
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from compress.tasks import inspection
from compress.tasks.formats import word_arrays
from compress.tasks.formats.words import Words
from compress.tasks.inspection import DatasetInfo
from featherweight.cards import markdown, snippets
from featherweight.cards.card import ModelCard
from featherweight.cards.package import Package
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
from store.files import artifacts as stored_artifacts
from store.files import datasets
from store.jobs import jobs
from store.session import Session

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


@router.get(
    "/v1/artifacts/{artifact_id}/words",
    operation_id="get_words",
    dependencies=[READ],
    responses=problems(422),
)
def get_words(resources: ResourcesDep, artifact_id: ArtifactId) -> Package:
    """The words that a network of texts tells apart, and how a text becomes its input."""
    with resources.database.read() as session:
        around = datasets.get(session, jobs.get(session, _job_of(session, artifact_id)).dataset_id)
        sha256, name = around.sha256, around.name
        info = DatasetInfo.model_validate(around.info)
    has_words = info.text is not None and info.text.settings is not None
    words = _words(resources, sha256) if has_words else None
    if words is None:
        raise NotDescribed(f"the dataset {name!r} has no words that a file could come with")
    kept = artifacts.manifest_of(resources, artifact_id).kept_words
    files = words.files(kept)
    return Package(
        files={name: content.decode() for name, content in files.items()},
        num_bytes=sum(map(len, files.values())),
    )


def _job_of(session: Session, artifact_id: str) -> str:
    return stored_artifacts.get(session, artifact_id).job_id


def _words(resources: Resources, sha256: str) -> Words | None:
    """Read the words of a stored dataset, which was inspected."""
    with inspection.open_dataset(resources.files.path(sha256)) as archive:
        return word_arrays.read(archive)


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
