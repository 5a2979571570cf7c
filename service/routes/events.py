"""Server-sent events of a job: numbered, resumable, ended by the job's last event."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from service.access import auth
from service.access.auth import READ
from service.http.openapi import problems
from service.http.parameters import JobId
from service.http.routing import router as guarded
from service.resources import Resources, ResourcesDep
from service.streaming import sockets
from service.streaming.feeds import Feed
from service.streaming.streams import OpenStream
from store.jobs import events, jobs

router = guarded("jobs")

PING_SECONDS = 15.0
_PING = b": ping\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_MESSAGE: dict[str, Any] = {
    "type": "object",
    "description": "One message of the stream.",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer", "minimum": 0, "maximum": 60_000},
    },
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "`id` is the event's number, `event` its type, `data` an EventSchema as JSON. "
            "`reset` without a number says that older events are gone: fetch the job anew."
        ),
        "content": {"text/event-stream": {"schema": _MESSAGE}},
    },
    **problems(429),
}
Seq = Annotated[
    int, Query(ge=0, le=2**31 - 1, description="Number of the last event that is known.")
]
LastEventId = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        max_length=9,
        pattern=r"^[0-9]{0,9}$",
        description="The same, as browsers send it.",
    ),
]


class EventStream(StreamingResponse):
    """A stream that is cut if its reader takes nothing for ``stall_seconds``.

    ``on_end`` is called in every case: a reader may be gone before the first message.
    """

    def __init__(
        self, content: AsyncIterator[bytes], *, stall_seconds: float, on_end: Callable[[], None]
    ) -> None:
        super().__init__(
            content,
            media_type="text/event-stream",
            headers=_HEADERS,
        )
        self._stall_seconds = stall_seconds
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the stream ends, the reader hangs up, or takes nothing."""

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._stall_seconds):
                    await send(message)
            except TimeoutError:
                raise _Stalled from None

        try:
            await super().__call__(scope, receive, send_in_time)
        except _Stalled:
            await sockets.cut(scope)
        finally:
            self._on_end()


class _Stalled(Exception):
    """The reader takes nothing."""


@router.get(
    "/v1/jobs/{job_id}/events",
    operation_id="watch_job",
    dependencies=[READ],
    response_class=StreamingResponse,
    responses=_STREAM,
)
async def watch_job(
    resources: ResourcesDep,
    request: Request,
    job_id: JobId,
    after: Seq = 0,
    last_event_id: LastEventId = "",
) -> Response:
    """Stream every event of a job, from the first or after the last known one, to the end."""
    seen = int(last_event_id) if last_event_id else after
    gap = await run_in_threadpool(_gap, resources, job_id, seen)
    if request.method == "HEAD":
        return Response(media_type="text/event-stream", headers=_HEADERS)
    stream = resources.streams.open(auth.holder_of(request))
    feed = resources.feeds.join(job_id, stream)

    def close() -> None:
        resources.feeds.leave(job_id, stream)
        resources.streams.close(stream)

    return EventStream(
        _messages(resources, feed, stream, job_id, seen, gap),
        stall_seconds=resources.settings.stream_stall_seconds,
        on_end=close,
    )


async def _messages(
    resources: Resources, feed: Feed, stream: OpenStream, job_id: str, seen: int, gap: int | None
) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    if gap is not None:
        yield _reset(job_id, gap)
        seen = gap - 1
    last_sent = time.monotonic()
    ends = last_sent + resources.settings.stream_seconds
    while not stream.is_ended and (now := time.monotonic()) < ends:
        # A stream that is far behind reads by itself, no faster than its reader takes it.
        news = feed.after(seen) or await resources.feeds.read(job_id, seen)
        for message in news.messages:
            seen = message.seq
            yield message.text
        if news.is_over:
            return
        if news.messages:
            last_sent = time.monotonic()
        elif not await stream.wait(timeout=min(last_sent + PING_SECONDS, ends) - now):
            last_sent = time.monotonic()
            yield _PING


def _gap(resources: Resources, job_id: str, seen: int) -> int | None:
    """Return the number of the oldest event, if events between it and ``seen`` were removed."""
    with resources.database.read() as session:
        jobs.get(session, job_id)
        first = events.first_seq(session, job_id)
    return first if first is not None and seen + 1 < first else None


def _reset(job_id: str, first: int) -> bytes:
    data = json.dumps({"job": job_id, "first": first})
    return f"event: reset\ndata: {data}\n\n".encode()
