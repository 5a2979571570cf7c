"""Files by digest: weights and datasets for workers."""

from fastapi import Request, Response

from service import downloads
from service.auth import WORK
from service.downloads import Download
from service.parameters import Digest
from service.resources import Here
from service.routes.artifacts import FILE_RESPONSES
from service.routing import router as guarded

router = guarded("worker protocol")


@router.get(
    "/v1/files/{sha256}",
    operation_id="download_file",
    dependencies=[WORK],
    response_class=Response,
    responses=FILE_RESPONSES,
)
def download_file(here: Here, request: Request, sha256: Digest) -> Response:
    """A stored file by its SHA-256."""
    size = here.files.path(sha256).stat().st_size
    download = Download(sha256=sha256, size_bytes=size, filename=f"{sha256}.bin")
    return downloads.respond(request, here.files, download)
