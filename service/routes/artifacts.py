"""Files of trials: the bytes, and the manifest that says how they were made."""

from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from compress.targets import registry
from compress.targets.target import Target
from compress.values.errors import InvalidNetwork
from compress.values.file_formats import onnx_header
from compress.values.measurement import Measurement
from featherweight import documents
from featherweight.cards import metadata as metadata_of
from featherweight.cards.card import ModelCard
from featherweight.errors import NoMetadata
from featherweight.specs import manifest
from featherweight.specs.manifest import Manifest
from service.access.auth import READ, WORK
from service.errors import ConversionRefused, NotDescribed
from service.http import downloads
from service.http.downloads import Download, Suffixed
from service.http.openapi import problems
from service.http.parameters import ArtifactId, Digest, TargetName, WithMetadata
from service.http.routing import router as guarded
from service.reports import accuracies, cards
from service.reports.cards import DescribedFile
from service.resources import Resources, ResourcesDep
from service.shared.conditional import ETAG
from store.attempts import evaluations
from store.errors import ArtifactNotFound
from store.files import artifacts
from store.files.file_store import FileStore
from store.jobs import jobs
from store.tables.records import ArtifactRecord
from store.trials import rungs

router = guarded("artifacts")
stored = guarded("worker protocol")

SUFFIX = {"onnx": "onnx", "weights": "safetensors", "manifest": "json", "profile": "json"}
BYTES: dict[str, Any] = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
}
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file", "headers": ETAG, **BYTES},
    206: {"description": "The range that was asked for", "headers": ETAG, **BYTES},
    304: {"description": "The asker has it already", "headers": ETAG},
    **problems(416, 422, 503),
}


@dataclass(frozen=True, kw_only=True)
class Served:
    """A file that is asked for, in one target's form, and where its bytes are."""

    artifact: ArtifactRecord
    target: Target
    download: Download
    files: FileStore


@router.get(
    "/v1/artifacts/{artifact_id}",
    operation_id="download_artifact",
    dependencies=[READ],
    response_class=Response,
    responses=FILE_RESPONSES,
)
async def download_artifact(
    resources: ResourcesDep,
    request: Request,
    artifact_id: ArtifactId,
    target: TargetName = None,
    metadata: WithMetadata = False,
) -> Response:
    """The file's bytes; `ETag` is its SHA-256, and `Range` works.

    With a `target` they are those of its form of the file (`GET /v1/targets`), with a digest of
    their own, made and compared with the measured file in ONNX Runtime when first asked for. A file
    that was made and measured for that target comes as it is, and any file for `onnxruntime`. With
    `metadata` what the card says follows them as entries of ONNX metadata, and the digest is that
    of the whole.
    """
    found = await served(resources, artifact_id, target)
    if metadata:
        return await run_in_threadpool(_with_metadata, resources, request, found)
    return await run_in_threadpool(downloads.respond, request, found.files, found.download)


@router.get("/v1/targets", operation_id="list_targets", dependencies=[READ])
async def list_targets() -> tuple[Target, ...]:
    """Where files can run: forms, their runtimes and versions, operators, and what they cost."""
    return registry.TARGETS


@router.get(
    "/v1/artifacts/{artifact_id}/manifest", operation_id="get_manifest", dependencies=[READ]
)
def get_manifest(resources: ResourcesDep, artifact_id: ArtifactId) -> Manifest:
    """Candidate, seeds, digests, versions and measurement of a file.

    The stored manifest was written with the file. What was measured on test later is added here;
    the stored bytes stay those of their digest.
    """
    return manifest_of(resources, artifact_id)


async def served(resources: Resources, artifact_id: str, target: str | None) -> Served:
    """Find the file, and convert it if it is asked for in another target's form."""
    wanted = None if target is None else registry.find(target).name
    artifact, made_for = await run_in_threadpool(_artifact, resources, artifact_id)
    if wanted is not None and artifact.role != "onnx":
        raise ConversionRefused(f"the file is no network but of the role {artifact.role}")
    download, files = _download(artifact), resources.files
    as_it_is = wanted in (None, made_for, registry.AS_MADE.name)
    chosen = registry.find(made_for if wanted is None or as_it_is else wanted)
    if not as_it_is:
        files = resources.conversions.files
        download = await _converted(resources, artifact, chosen)
    return Served(artifact=artifact, target=chosen, download=download, files=files)


def described(
    resources: Resources, found: Served
) -> tuple[DescribedFile, Manifest, cards.CardContext]:
    """Read what is known of the file. Raises NotDescribed unless it is a network."""
    artifact, download = found.artifact, found.download
    if artifact.role != "onnx":
        raise NotDescribed(f"the file is no network but of the role {artifact.role}")
    document = manifest_of(resources, artifact.id)
    with resources.database.read() as session:
        around = cards.surroundings(session, jobs.get(session, artifact.job_id))
    try:
        with found.files.path(download.sha256).open("rb") as file:
            header = onnx_header.read(file)
    except InvalidNetwork as error:
        raise NotDescribed(str(error)) from error
    described = DescribedFile(
        name=download.filename,
        sha256=download.sha256,
        size_bytes=download.size_bytes,
        header=header,
        target=found.target,
    )
    return described, document, around


def card(resources: Resources, found: Served) -> ModelCard:
    """Write the card of a file. Raises NotDescribed."""
    return cards.card(*described(resources, found))


def _with_metadata(resources: Resources, request: Request, found: Served) -> Response:
    file, document, around = described(resources, found)
    try:
        suffix = metadata_of.suffix(cards.card(file, document, around), file.header)
    except NoMetadata as error:
        raise NotDescribed(str(error)) from error
    files = Suffixed(found.files, found.download.sha256, suffix)
    return downloads.respond(request, files, files.download(found.download))


def manifest_of(resources: Resources, artifact_id: str) -> Manifest:
    """Return the manifest of an artifact, with what was measured later. Raises ArtifactNotFound."""
    with resources.database.read() as session:
        artifact = artifacts.get(session, artifact_id)
        rung = [
            a for a in artifacts.of_trial(session, artifact.trial_id) if a.rung == artifact.rung
        ]
        own = {each.role: each.sha256 for each in rung}
        later = evaluations.of_file(session, artifact.job_id, own.get("onnx", ""))
    if "manifest" not in own:
        raise ArtifactNotFound(f"the worker sent no manifest with artifact {artifact_id}")
    try:
        stored = manifest.load(_document(resources, own["manifest"]))
    except ValueError as error:
        raise ArtifactNotFound(
            f"what the worker sent as the manifest of artifact {artifact_id} is none"
        ) from error
    if later is None:
        return stored
    on_test = Measurement.model_validate(later.measurement)
    measurement = accuracies.with_test(stored.measurement, on_test)
    return stored.model_copy(update={"measurement": measurement})


def _document(resources: Resources, sha256: str) -> str:
    """Return a worker's file as strict JSON, or ValueError: it was stored without a look inside."""
    if resources.files.path(sha256).stat().st_size > documents.MAX_BYTES:
        raise ValueError(f"a document has at most {documents.MAX_BYTES} bytes")
    content = b"".join(resources.files.read(sha256))
    documents.check_storable(documents.read_json(content))
    return content.decode()


def _artifact(resources: Resources, artifact_id: str) -> tuple[ArtifactRecord, str]:
    """Return an artifact, and the target for which its rung's file was made."""
    with resources.database.read() as session:
        artifact = artifacts.get(session, artifact_id)
        return artifact, rungs.target_of(session, artifact.trial_id, artifact.rung)


async def _converted(resources: Resources, artifact: ArtifactRecord, target: Target) -> Download:
    made = await resources.conversions.get(artifact.sha256, target)
    return Download(
        sha256=made.sha256,
        size_bytes=made.size_bytes,
        filename=f"{_stem(artifact)}.{target.name}.onnx",
    )


def _stem(artifact: ArtifactRecord) -> str:
    return f"{artifact.trial_id[:8]}-rung{artifact.rung}-{artifact.sha256[:12]}"


def _download(artifact: ArtifactRecord) -> Download:
    return Download(
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        filename=f"{_stem(artifact)}.{SUFFIX[artifact.role]}",
    )


@stored.get(
    "/v1/files/{sha256}",
    operation_id="download_file",
    dependencies=[WORK],
    response_class=Response,
    responses=FILE_RESPONSES,
)
def download_file(resources: ResourcesDep, request: Request, sha256: Digest) -> Response:
    """Return a stored file by its SHA-256."""
    size = resources.files.path(sha256).stat().st_size
    download = Download(sha256=sha256, size_bytes=size, filename=f"{sha256}.bin")
    return downloads.respond(request, resources.files, download)
