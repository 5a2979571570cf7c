"""Bring events of jobs from the database to every open stream, read once per job and process."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool

from featherweight.specs.schemas import EventSchema
from service.streaming.lookouts import Lookout
from service.streaming.notifications import Notifications
from service.streaming.streams import OpenStream
from store.attempts import views
from store.jobs import events
from store.session import Database

_LOOK_AGAIN_SECONDS = 5.0
"""Most seconds between two looks: a wake-up can be lost with the database's connection."""
_PAGE = 100
_THREADS = 4
"""Streams that read by themselves have these, so that they take none of the other requests'."""
MOST_KEPT = 256
MOST_BYTES = 256 * 1024
"""What a job's feed keeps for its streams. A slower one reads from the database by itself."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """An event as it is sent, once for all streams."""

    seq: int
    text: bytes


@dataclass(frozen=True, kw_only=True)
class News:
    """Events in order; ``is_over`` says that no more will follow."""

    messages: tuple[Message, ...] = ()
    is_over: bool = False


class Feed:
    """The newest events of one job, and the streams that read them."""

    def __init__(self) -> None:
        self.streams: set[OpenStream] = set()
        self.newest: int | None = None
        """Number of the newest event that was read; None before the first look."""
        self._kept: deque[Message] = deque()
        self._size_bytes = 0
        self._is_over = False

    def add(self, news: News, *, newest: int) -> None:
        """Keep the events read after ``newest``, as far as they fit, and wake the streams."""
        is_new = newest != self.newest or news.is_over
        self.newest, self._is_over = newest, news.is_over
        self._kept.extend(news.messages)
        self._size_bytes += sum(len(message.text) for message in news.messages)
        while len(self._kept) > MOST_KEPT or self._size_bytes > MOST_BYTES:
            self._size_bytes -= len(self._kept.popleft().text)
        if is_new:
            for stream in self.streams:
                stream.wake()

    def after(self, seen: int) -> News | None:
        """Return the events after ``seen``, or None if the stream must read the database itself."""
        if self.newest is None:
            return None
        if seen >= self.newest:
            return News(is_over=self._is_over)
        if not self._kept or seen + 1 < self._kept[0].seq:
            return None
        found = tuple(message for message in self._kept if message.seq > seen)
        return News(messages=found, is_over=self._is_over)


class Feeds:
    """The feeds of all jobs with streams here. Used on the event loop's thread only."""

    def __init__(self, database: Database, notifications: Notifications) -> None:
        self.lookout = Lookout(notifications, self._look, seconds=_LOOK_AGAIN_SECONDS)
        self._database = database
        self._threads = CapacityLimiter(_THREADS)
        self._feeds: dict[str, Feed] = {}

    def join(self, job_id: str, stream: OpenStream) -> Feed:
        """Return the job's feed, which wakes the stream until it leaves."""
        feed = self._feeds.setdefault(job_id, Feed())
        feed.streams.add(stream)
        if feed.newest is None:
            self.lookout.soon()
        return feed

    def leave(self, job_id: str, stream: OpenStream) -> None:
        """Stop waking the stream. A feed without streams is forgotten."""
        feed = self._feeds.get(job_id)
        if feed is not None:
            feed.streams.discard(stream)
            if not feed.streams:
                del self._feeds[job_id]

    async def read(self, job_id: str, seen: int) -> News:
        """Return a page of events after ``seen``, for a stream that is too slow for its feed."""
        return await to_thread.run_sync(_read, self._database, job_id, seen, limiter=self._threads)

    async def _look(self) -> None:
        known = {job_id: feed.newest for job_id, feed in self._feeds.items()}
        if not known:
            return
        found = await run_in_threadpool(_read_all, self._database, known)
        for job_id, (news, newest) in found.items():
            feed = self._feeds.get(job_id)
            if feed is not None and feed.newest == known[job_id]:
                feed.add(news, newest=newest)
            if not news.is_over and len(news.messages) == _PAGE:
                self.lookout.soon()


def _read(database: Database, job_id: str, seen: int) -> News:
    with database.read() as session:
        head = events.heads(session, [job_id]).get(job_id)
        if head is None:
            return News(is_over=True)
        messages = tuple(
            _message(views.event(record))
            for record in events.after(session, job_id, seen, limit=_PAGE)
        )
    newest = messages[-1].seq if messages else seen
    return News(messages=messages, is_over=head.is_last and newest >= head.seq)


def _read_all(database: Database, known: Mapping[str, int | None]) -> dict[str, tuple[News, int]]:
    """Return news of the jobs that have any, with the number of the newest event read."""
    with database.read() as session:
        heads = events.heads(session, known.keys())
    found: dict[str, tuple[News, int]] = {}
    for job_id, seen in known.items():
        head = heads.get(job_id)
        if head is None:
            found[job_id] = (News(is_over=True), seen or 0)
        elif seen is None:
            found[job_id] = (News(is_over=head.is_last), head.seq)
        elif head.seq > seen or head.is_last:
            news = _read(database, job_id, seen)
            found[job_id] = (news, news.messages[-1].seq if news.messages else seen)
    return found


def _message(event: EventSchema) -> Message:
    text = f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
    return Message(seq=event.seq, text=text.encode())
