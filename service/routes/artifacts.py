"""Files of trials: the bytes, and the manifest that says how they were made."""

from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from compress.targets import registry
from compress.targets.target import Target
from compress.values.measurement import Measurement
from featherweight import documents
from featherweight.specs import manifest
from featherweight.specs.manifest import Manifest
from service.access.auth import READ, WORK
from service.errors import ConversionRefused
from service.http import downloads
from service.http.downloads import Download
from service.http.openapi import problems
from service.http.parameters import ArtifactId, Digest, TargetName
from service.http.routing import router as guarded
from service.reports import accuracies
from service.resources import Resources, ResourcesDep
from service.shared.conditional import ETAG
from store.attempts import evaluations
from store.errors import ArtifactNotFound
from store.files import artifacts
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


@router.get(
    "/v1/artifacts/{artifact_id}",
    operation_id="download_artifact",
    dependencies=[READ],
    response_class=Response,
    responses=FILE_RESPONSES,
)
async def download_artifact(
    resources: ResourcesDep, request: Request, artifact_id: ArtifactId, target: TargetName = None
) -> Response:
    """The file's bytes; `ETag` is its SHA-256, and `Range` works.

    With a `target` they are those of its form of the file (`GET /v1/targets`), with a digest of
    their own, made and compared with the measured file in ONNX Runtime when first asked for. A file
    that was made and measured for that target comes as it is, and any file for `onnxruntime`.
    """
    chosen = None if target is None else registry.find(target)
    artifact, made_for = await run_in_threadpool(_artifact, resources, artifact_id)
    if chosen is not None and artifact.role != "onnx":
        raise ConversionRefused(f"the file is no network but of the role {artifact.role}")
    download, files = _download(artifact), resources.files
    if chosen is not None and chosen.name not in (made_for, registry.AS_MADE.name):
        files = resources.conversions.files
        download = await _converted(resources, artifact, chosen)
    return await run_in_threadpool(downloads.respond, request, files, download)


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
