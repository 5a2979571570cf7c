"""Send files: small ones in one request, large ones in parts that survive a broken connection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from compress.values.file_formats import answers
from compress.values.file_formats.answers import Expected
from featherweight.client import transport
from featherweight.client.transport import Call, RetryPolicy, Transport
from featherweight.errors import Conflict, ServiceUnavailable, UploadRefused
from featherweight.specs.schemas import UploadSchema

ONE_REQUEST_BYTES = 64 << 20
PART_BYTES = 16 << 20


def check_kind(file: Path, expected: Expected) -> None:
    """Raise UploadRefused, before anything is sent, for a file of another kind than expected."""
    wrong = answers.wrong_kind(file, expected)
    if wrong is not None:
        raise UploadRefused(f"{file} cannot be used: {wrong}")


def send(
    connection: Transport,
    path: str,
    file: Path,
    *,
    spec: Mapping[str, Any],
    one_request_bytes: int = ONE_REQUEST_BYTES,
) -> bytes:
    """Post ``file`` with its ``spec`` to ``path`` and return the answer. Raises ApiError."""
    text = json.dumps(spec)
    if file.stat().st_size <= one_request_bytes:
        body = partial(transport.multipart, file, spec=text)
        return connection.send(Call(method="POST", path=path, body=body)).content
    upload = resumable(connection, file)
    form = {"spec": (None, text), "upload": (None, upload.id)}
    body = partial(transport.form, form)
    return connection.send(Call(method="POST", path=path, body=body)).content


def resumable(
    connection: Transport,
    file: Path,
    *,
    part_bytes: int = PART_BYTES,
    retry: RetryPolicy | None = None,
) -> UploadSchema:
    """Send a file in parts. After a broken part, ask how much arrived and continue there."""
    size = file.stat().st_size
    upload = _schema(
        connection.send(Call(method="POST", path="/v1/uploads", json={"size_bytes": size})).content
    )
    policy, failed = retry or RetryPolicy(), 0
    while upload.received < size:
        try:
            upload = _part(connection, file, upload, part_bytes=part_bytes)
            failed = 0
        except (ServiceUnavailable, Conflict):
            failed += 1
            if policy.pause(failed) is None:
                raise
            found = connection.send(Call(method="GET", path=f"/v1/uploads/{upload.id}"))
            upload = _schema(found.content)
    return upload


def _part(
    connection: Transport, file: Path, upload: UploadSchema, *, part_bytes: int
) -> UploadSchema:
    size = min(part_bytes, upload.size_bytes - upload.received)
    headers = {
        "Upload-Offset": str(upload.received),
        "Content-Length": str(size),
        "Content-Type": "application/offset+octet-stream",
    }
    body = partial(transport.content, file, start=upload.received, size=size)
    path = f"/v1/uploads/{upload.id}"
    call = Call(method="PATCH", path=path, headers=headers, body=body, idempotent=False)
    return _schema(connection.send(call).content)


def _schema(answer: bytes) -> UploadSchema:
    return UploadSchema.model_validate_json(answer)
