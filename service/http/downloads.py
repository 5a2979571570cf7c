"""Send stored files: whole or one range, verified, never shown as a page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.errors import RangeNotSatisfiable
from service.shared import conditional
from store.files.file_store import FileStore

_LONGEST_RANGE = 50
_RANGE = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")


@dataclass(frozen=True, kw_only=True)
class Download:
    """A stored file to send, under its own name."""

    sha256: str
    size_bytes: int
    filename: str
    media_type: str = "application/octet-stream"


class ReadableFiles(Protocol):
    """What ``respond`` reads from: a store, or one file of it with more bytes behind it."""

    def verify(self, sha256: str) -> None:
        """Check the whole file."""
        ...

    def read(self, sha256: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return the bytes from ``start`` to ``end`` (exclusive), in pieces."""
        ...


class Suffixed:
    """A stored file with bytes behind it: as long as both, with the digest of both."""

    def __init__(self, files: FileStore, sha256: str, suffix: bytes) -> None:
        """Put ``suffix`` behind the stored file of that digest, whose bytes are checked."""
        self._files, self._stored, self._suffix = files, sha256, suffix
        found, self._size = hashlib.sha256(), 0
        for piece in files.read(sha256):
            found.update(piece)
            self._size += len(piece)
        found.update(suffix)
        self._sha256 = found.hexdigest()

    def download(self, stored: Download) -> Download:
        """Return the file to send in place of the stored one."""
        return replace(stored, sha256=self._sha256, size_bytes=self._size + len(self._suffix))

    def verify(self, sha256: str) -> None:
        """Check the stored file."""
        self._files.verify(self._stored)

    def read(self, sha256: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return the bytes from ``start`` to ``end`` (exclusive), in pieces."""
        size = self._size
        last = size + len(self._suffix) if end is None else end
        if start < size:
            is_whole = start == 0 and last >= size
            until = None if is_whole else min(last, size)
            yield from self._files.read(self._stored, start=start, end=until)
        if last > size:
            yield self._suffix[max(0, start - size) : last - size]


def respond(request: Request, files: ReadableFiles, download: Download) -> Response:
    """Return the file, or the requested range, or 304 if the client has it already.

    Raises:
        RangeNotSatisfiable: the range begins after the last byte.
        FileCorrupt: the stored bytes are not those of the digest; nothing is sent.
    """
    headers = _headers(download)
    if conditional.is_known(request, f'"{download.sha256}"'):
        return Response(status_code=304, headers=headers)
    files.verify(download.sha256)
    start, end = _range(request, download)
    status, is_whole = 200, (start, end) == (0, download.size_bytes)
    if not is_whole:
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{download.size_bytes}"
        headers.pop("Repr-Digest")
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=download.media_type)
    # A whole file is checked once more on its way: bits may rot without a new time of the file.
    content = files.read(download.sha256, start=start, end=None if is_whole else end)
    return StreamingResponse(
        content,
        status_code=status,
        headers=headers,
        media_type=download.media_type,
    )


def _headers(download: Download) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(download.sha256)).decode()
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{download.filename}"',
        "ETag": f'"{download.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
    }


def _range(request: Request, download: Download) -> tuple[int, int]:
    """Return the first byte and the end (exclusive); the whole file without a single range."""
    whole = (0, download.size_bytes)
    found = _RANGE.match(request.headers.get("range", "")[:_LONGEST_RANGE])
    condition = request.headers.get("if-range")
    if found is None or (condition is not None and condition != f'"{download.sha256}"'):
        return whole
    first, last = found.groups()
    if not first and not last:
        return whole
    if not first:
        return _suffix(int(last), download.size_bytes)
    start, end = int(first), min(int(last or download.size_bytes) + 1, download.size_bytes)
    if last and int(last) < start:
        return whole
    if start >= download.size_bytes:
        raise _outside(download.size_bytes)
    return start, end


def _suffix(length: int, size: int) -> tuple[int, int]:
    if length == 0:
        raise _outside(size)
    return max(0, size - length), size


def _outside(size: int) -> RangeNotSatisfiable:
    headers: Mapping[str, str] = {"Content-Range": f"bytes */{size}"}
    return RangeNotSatisfiable(f"the file has {size} bytes", headers=headers)
