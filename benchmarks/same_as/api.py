"""The HTTP API of a service, as plain JSON: no schema of any checkout is between it and us."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

Json = Any
"""What ``json.loads`` gives."""
_PAGE = 100


class Api:
    """A service at an address. Every method raises RuntimeError for an answer that is an error."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        """Connect at the first call."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx2.Client(base_url=url, headers=headers, timeout=60)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def answers(self) -> bool:
        """Whether somebody answers."""
        try:
            return self._client.get("/healthz").is_success
        except httpx2.TransportError:
            return False

    def get(self, path: str, **params: str | int) -> Json:
        """The document at a path."""
        return _checked(self._client.get(path, params=params)).json()

    def find(self, path: str) -> Json:
        """The document at a path, or None where there is nothing."""
        answer = self._client.get(path)
        return None if answer.status_code == httpx2.codes.NOT_FOUND else _checked(answer).json()

    def post(self, path: str, document: Json, *, key: str | None = None) -> Json:
        """The answer to a posted document, which may have an idempotency key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return _checked(self._client.post(path, json=document, headers=headers)).json()

    def upload(self, path: str, file: Path, spec: Mapping[str, Any]) -> Json:
        """The answer to an uploaded file with its spec."""
        with file.open("rb") as content:
            form = {"file": (file.name, content, "application/octet-stream")}
            answer = self._client.post(path, data={"spec": json.dumps(spec)}, files=form)
        return _checked(answer).json()

    def items(self, path: str) -> Iterator[Json]:
        """Everything in a listing, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            page = self.get(path, limit=_PAGE, **more)
            yield from page["items"]
            cursor = page["next_cursor"]

    def content(self, artifact: str) -> bytes:
        """The bytes of an artifact."""
        return _checked(self._client.get(f"/v1/artifacts/{artifact}")).content

    def document(self, artifact: str) -> Json:
        """The JSON that an artifact is."""
        return json.loads(self.content(artifact))

    def digest(self, artifact: str) -> str:
        """SHA-256 of the bytes of an artifact, as they are delivered."""
        return hashlib.sha256(self.content(artifact)).hexdigest()

    def metrics(self) -> list[str]:
        """The names and labels of everything that ``/metrics`` counts, without the figures."""
        text = _checked(self._client.get("/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith("# ")]
        return sorted({re.sub(r"\s+", " ", line) for line in lines})


def _checked(answer: httpx2.Response) -> httpx2.Response:
    if answer.is_error:
        asked = f"{answer.request.method} {answer.request.url}"
        raise RuntimeError(f"{asked}: {answer.status_code} {answer.text}")
    return answer
