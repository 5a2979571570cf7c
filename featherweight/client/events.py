"""Server-sent events of a job, followed through outages without missing one."""

from __future__ import annotations

import time
from collections.abc import Iterator

from httpx2 import EventSource

from featherweight.client.transport import FOREVER, ONCE, Call, RetryPolicy, Transport
from featherweight.errors import NotFound, ServiceUnavailable
from featherweight.specs.schemas import EventSchema, JobSchema
from featherweight.specs.states import JobState

FINAL = frozenset(f"job.{state}" for state in JobState if state.is_finished)
_SILENCE_SECONDS = 45.0
"""The service sends a comment at least every 15 seconds: a longer silence is a dead connection."""


def follow(
    transport: Transport, job: str, *, after: int = 0, retry: RetryPolicy = FOREVER
) -> Iterator[EventSchema]:
    """Yield events after ``after`` up to the last one of a job that has ended.

    Raises ApiError, and ServiceUnavailable if ``retry`` gives up.
    """
    seen, failed = after, 0
    while True:
        try:
            for event in _connected(transport, job, after=seen):
                seen, failed = event.seq, 0
                yield event
                if event.type in FINAL and _is_over(transport, job, seen=seen):
                    return
            if _is_over(transport, job, seen=seen):
                return
            failed += 1
        except ServiceUnavailable:
            failed += 1
            if retry.pause(failed) is None:
                raise
        time.sleep(retry.pause(failed) or retry.most_seconds)


def _is_over(transport: Transport, job: str, *, seen: int) -> bool:
    """Return whether the job has ended with what was seen: it may have been opened again since."""
    try:
        answer = transport.send(Call(method="GET", path=f"/v1/jobs/{job}"), retry=ONCE)
    except NotFound:
        return True  # nothing more is told of a job that was deleted
    found = JobSchema.model_validate_json(answer.content)
    return found.state.is_finished and found.last_event <= seen


def _connected(transport: Transport, job: str, *, after: int) -> Iterator[EventSchema]:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    path = f"/v1/jobs/{job}/events"
    with transport.stream(path, headers=headers, timeout_seconds=_SILENCE_SECONDS) as answer:
        for message in EventSource(answer):
            if message.data and message.id:
                yield EventSchema.model_validate_json(message.data)
