"""Say something about a lease, with the secret that came with it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from featherweight.client.transport import ONCE, Call, Transport
from featherweight.specs.protocol import FENCE_HEADER

Answer = TypeVar("Answer", bound=BaseModel)


def say(
    connection: Transport,
    answer: type[Answer],
    path: str,
    *,
    token: str,
    body: BaseModel | None = None,
    timeout_seconds: float = 30.0,
) -> Answer:
    """Post ``body`` to ``path`` once. Raises StaleAttempt if the lease is another's by now."""
    call = Call(
        method="POST",
        path=path,
        headers={FENCE_HEADER: token},
        json=None if body is None else body.model_dump(mode="json"),
        timeout_seconds=timeout_seconds,
    )
    return answer.model_validate_json(connection.send(call, retry=ONCE).content)
