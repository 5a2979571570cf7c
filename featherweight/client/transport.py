"""HTTP for both clients: one retry policy, problems as typed errors, verified downloads."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from featherweight import __version__, errors
from featherweight.client import authorities
from featherweight.specs.schemas import Problem

CHUNK_BYTES = 1 << 20
_BUSY = frozenset({408, 425, 429, 502, 503, 504, 507})
"""Statuses that mean "not now", without a fault of the request."""
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter: ``attempts`` tries, pauses in ``[base, most]``.

    With ``attempts`` None it never gives up.
    """

    attempts: int | None = 6
    base_seconds: float = 0.1
    most_seconds: float = 5.0

    def pause(self, tried: int) -> float | None:
        """Return the seconds to wait after ``tried`` failures (from 1), or None to give up."""
        if self.attempts is not None and tried >= self.attempts:
            return None
        ceiling = min(self.most_seconds, self.base_seconds * 2 ** min(tried, 30))
        return random.uniform(min(self.base_seconds, ceiling), ceiling)


ONCE = RetryPolicy(attempts=1)
FOREVER = RetryPolicy(attempts=None)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request. ``body`` opens the content again for every try, so a file can be resent."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    body: Callable[[], AbstractContextManager[Mapping[str, Any]]] = lambda: nullcontext({})
    idempotent: bool = True
    timeout_seconds: float | None = None


class Transport:
    """A connection to one service. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        retry: RetryPolicy | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self.url = url.rstrip("/")
        self._retry = retry or RetryPolicy()
        self._timeout_seconds = timeout_seconds
        headers = {"User-Agent": f"featherweight/{__version__}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        timeout = httpx2.Timeout(timeout_seconds, connect=5.0)
        self._http = httpx2.Client(
            base_url=self.url,
            headers=headers,
            timeout=timeout,
            verify=authorities.trusted(by_environment=True),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call, *, retry: RetryPolicy | None = None) -> httpx2.Response:
        """Return the answer to ``call``.

        Raises ApiError for a problem, and ServiceUnavailable if there is no answer. Only idempotent
        calls are retried.
        """
        policy = (retry or self._retry) if call.idempotent else ONCE
        return retrying(lambda: self._once(call), policy)

    def _once(self, call: Call) -> httpx2.Response:
        timeout = call.timeout_seconds or self._timeout_seconds
        with self._translated(), call.body() as body:
            response = self._http.request(
                call.method,
                call.path,
                params=dict(call.params),
                headers=dict(call.headers),
                json=call.json,
                timeout=httpx2.Timeout(timeout, connect=5.0),
                **body,
            )
        return _checked(response)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Iterator[httpx2.Response]:
        """Yield an answer whose body is read as it arrives. Errors are those of ``send``."""
        timeout = httpx2.Timeout(timeout_seconds or self._timeout_seconds, connect=5.0)
        with (
            self._translated(),
            self._http.stream(
                "GET", path, headers=dict(headers or {}), timeout=timeout
            ) as response,
        ):
            if response.is_error:
                response.read()
            yield _checked(response)

    def download(
        self,
        path: str,
        target: Path,
        *,
        sha256: str | None = None,
        retry: RetryPolicy | None = None,
        timeout_seconds: float | None = None,
    ) -> str:
        """Fetch into ``target`` and return the SHA-256; a failure leaves nothing behind.

        Without ``sha256`` the digest is the ETag of the answer. Raises DigestMismatch if the bytes
        differ.
        """
        fetch = partial(self._download, path, target, sha256, timeout_seconds)
        return retrying(fetch, retry or self._retry)

    def _download(
        self, path: str, target: Path, sha256: str | None, timeout_seconds: float | None
    ) -> str:
        arriving = target.with_name(f".{target.name}.{uuid4().hex}.part")
        try:
            with self.stream(path, timeout_seconds=timeout_seconds) as response:
                wanted = sha256 or response.headers.get("ETag", "").strip('"')
                found = _write(response, arriving)
            if found != wanted:
                raise errors.DigestMismatch(f"{path}: expected SHA-256 {wanted}, received {found}")
            arriving.replace(target)
            return found
        finally:
            arriving.unlink(missing_ok=True)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise errors.FeatherweightError(f"{self.url!r} is not an HTTP address") from error
        except httpx2.TransportError as error:
            words = str(error) or type(error).__name__
            raise errors.ServiceUnavailable(f"no answer from {self.url}: {words}") from error


def retrying(call: Callable[[], Any], policy: RetryPolicy) -> Any:
    """Repeat the call while it raises ServiceUnavailable, as long as the policy allows."""
    tried = 0
    while True:
        try:
            return call()
        except errors.ServiceUnavailable as error:
            tried += 1
            pause = policy.pause(tried)
            if pause is None:
                raise
            time.sleep(max(pause, error.retry_after_seconds))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chunks(path: Path, *, start: int = 0, size: int | None = None) -> Generator[bytes]:
    """Yield bytes ``[start, start + size)`` of a file, a mebibyte at a time."""
    left = path.stat().st_size - start if size is None else size
    with path.open("rb") as file:
        file.seek(start)
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


@contextmanager
def content(path: Path, *, start: int = 0, size: int | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield a ``Call.body`` that sends bytes ``[start, start + size)`` of a file as they are."""
    with closing(chunks(path, start=start, size=size)) as sent:
        yield {"content": sent}


@contextmanager
def multipart(path: Path, *, spec: str) -> Iterator[Mapping[str, Any]]:
    """Yield a ``Call.body`` that sends a file together with its JSON ``spec``."""
    with path.open("rb") as file:
        parts = {"file": (path.name, file, "application/octet-stream")}
        yield {"files": parts, "data": {"spec": spec}}


@contextmanager
def form(parts: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a ``Call.body`` that sends a multipart form without a file."""
    yield {"files": parts}


def _write(response: httpx2.Response, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in response.iter_bytes(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _checked(response: httpx2.Response) -> httpx2.Response:
    if not response.is_error:
        return response
    problem = _problem(response)
    if response.status_code in _BUSY:
        words = f"{problem.code}: {problem.detail or problem.title}"
        raise errors.ServiceUnavailable(words, retry_after_seconds=_retry_after(response))
    raise errors.of(problem)


def _problem(response: httpx2.Response) -> Problem:
    try:
        return Problem.model_validate(response.json())
    except (ValueError, json.JSONDecodeError):
        return Problem(
            title=response.reason_phrase or "error",
            status=response.status_code,
            code=f"{errors.FOREIGN}{response.status_code}",
            detail=response.text[:500],
        )


def _retry_after(response: httpx2.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return min(float(value), _LONGEST_PAUSE_SECONDS) if value.isdigit() else 0.0
