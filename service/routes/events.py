"""Server-sent events of a job: numbered, resumable, ended by the job's last event."""

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from featherweight.specs.schemas import EventSchema
from featherweight.specs.states import JobState
from service import wakeups
from service.auth import READ
from service.parameters import JobId
from service.resources import Here, Resources
from service.routing import router as guarded
from store import events, jobs, views

router = guarded("jobs")

PING_SECONDS = 15.0
_LOOK_AGAIN_SECONDS = 5.0
"""Most seconds between two looks: a wake-up can be lost with the database's connection."""
_FINAL = frozenset(f"job.{state}" for state in JobState if state.is_finished)
_PING = b": ping\n\n"
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "`id` is the event's number, `event` its type, `data` an EventSchema as JSON. "
            "`reset` without a number says that older events are gone: fetch the job anew."
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
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


@router.get(
    "/v1/jobs/{job_id}/events",
    operation_id="watch_job",
    dependencies=[READ],
    response_class=StreamingResponse,
    responses=_STREAM,
)
async def watch_job(
    here: Here, job_id: JobId, after: Seq = 0, last_event_id: LastEventId = ""
) -> StreamingResponse:
    """Every event of a job from the first, or after the last one that is known, to the end."""
    seen = int(last_event_id) if last_event_id else after
    gap = await run_in_threadpool(_gap, here, job_id, seen)
    return StreamingResponse(
        _stream(here, job_id, seen, gap),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(here: Resources, job_id: str, seen: int, gap: int | None) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    if gap is not None:
        yield _reset(job_id, gap)
        seen = gap - 1
    last_sent = time.monotonic()
    while not here.wakeups.is_closed:
        ticket = here.wakeups.ticket()
        news, is_over = await run_in_threadpool(_read, here, job_id, seen)
        for event in news:
            seen = event.seq
            yield _message(event)
        if is_over:
            return
        if news:
            last_sent = time.monotonic()
        else:
            await wakeups.wait(ticket, timeout=_LOOK_AGAIN_SECONDS)
        if time.monotonic() - last_sent >= PING_SECONDS:
            last_sent = time.monotonic()
            yield _PING


def _gap(here: Resources, job_id: str, seen: int) -> int | None:
    """Number of the oldest event, where events between it and ``seen`` were removed."""
    with here.database.read() as session:
        jobs.get(session, job_id)
        first = events.first_seq(session, job_id)
    return first if first is not None and seen + 1 < first else None


def _read(here: Resources, job_id: str, seen: int) -> tuple[list[EventSchema], bool]:
    """What is new, and whether nothing will follow."""
    with here.database.read() as session:
        job = jobs.get(session, job_id)
        news = [views.event(record) for record in events.after(session, job_id, seen)]
    newest = news[-1].seq if news else seen
    is_over = JobState(job.state).is_finished and newest >= job.last_event
    return news, is_over or any(event.type in _FINAL for event in news)


def _message(event: EventSchema) -> bytes:
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()


def _reset(job_id: str, first: int) -> bytes:
    data = json.dumps({"job": job_id, "first": first})
    return f"event: reset\ndata: {data}\n\n".encode()
