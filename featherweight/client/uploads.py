"""Send files: small ones in one request, large ones in parts that survive a broken connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from compress.values.file_formats import answers
from compress.values.file_formats.answers import Expected
from featherweight.client import transport
from featherweight.client.transport import ONCE, Call, RetryPolicy, Transport
from featherweight.errors import (
    Conflict,
    FeatherweightError,
    ServiceUnavailable,
    UploadRefused,
)
from featherweight.specs.schemas import UploadSchema

ONE_REQUEST_BYTES = 64 << 20
PART_BYTES = 16 << 20
WATCHED_BYTES = 4 << 20
"""A file that somebody watches is sent in parts from this size on: of a request nothing is known.
"""
LOOK_SECONDS = 3600.0
"""So long a service may look into a file, with those before it in the line, until it answers."""
_ASK_SECONDS = 0.5
Tell: TypeAlias = Callable[[str, float], None]
"""``tell(stage, share)``: sending, waiting, converting, inspecting; from 0 to 1."""


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
    tell: Tell | None = None,
) -> bytes:
    """Post ``file`` with its ``spec`` to ``path`` and return the answer. Raises ApiError.

    ``tell`` learns how far it is, from another thread once the file is sent.
    """
    text = json.dumps(spec)
    most = one_request_bytes if tell is None else min(one_request_bytes, WATCHED_BYTES)
    if file.stat().st_size <= most:
        body = partial(transport.multipart, file, spec=text)
        return connection.send(_post(path, body)).content
    upload = resumable(connection, file, tell=tell)
    form = {"spec": (None, text), "upload": (None, upload.id)}
    with _watched(connection, upload.id, tell):
        return connection.send(_post(path, partial(transport.form, form))).content


def _post(path: str, body: Callable[[], AbstractContextManager[Mapping[str, Any]]]) -> Call:
    return Call(method="POST", path=path, body=body, timeout_seconds=LOOK_SECONDS)


@contextmanager
def _watched(connection: Transport, upload: str, tell: Tell | None) -> Iterator[None]:
    """Ask how far the look into an upload is, on a thread of its own."""
    if tell is None:
        yield
        return
    is_over = threading.Event()
    thread = threading.Thread(target=_ask, args=(connection, upload, tell, is_over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _ask(connection: Transport, upload: str, tell: Tell, is_over: threading.Event) -> None:
    call = Call(method="GET", path=f"/v1/uploads/{upload}")
    while not is_over.wait(_ASK_SECONDS):
        # Whoever waits for the answer learns what went wrong.
        with suppress(FeatherweightError):
            look = _schema(connection.send(call, retry=ONCE).content).look
            if look is not None and not is_over.is_set():
                tell(look.stage, look.share)


def resumable(
    connection: Transport,
    file: Path,
    *,
    part_bytes: int = PART_BYTES,
    retry: RetryPolicy | None = None,
    tell: Tell | None = None,
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
            if tell is not None:
                tell("sending", upload.received / size)
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
