"""Event streams: read once for all, limited per token, and none outlives token or reader."""

import asyncio
import contextlib
import http.client
import socket
import threading
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import httpx2
import pytest

from featherweight.specs.states import Phase
from service.streaming import feeds
from service.streaming.feeds import Feed, Message, News
from service.streaming.streams import Holder, OpenStream
from store.access import tokens
from store.jobs import jobs
from store.tables.records import EventRecord, JobRecord
from tests.service.routes.test_events import finished_job, read
from tests.service.running import listening, problem, serve, until
from tests.service.streaming.test_waiting import counted_statements


@contextmanager
def open_stream(url, job, *, headers=None, after=0):
    """The lines of an event stream that a thread reads, and whether it has ended."""
    line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    line.request("GET", f"/v1/jobs/{job}/events?after={after}", headers=headers or {})
    answer = line.getresponse()
    assert answer.status == 200, answer.read()
    lines, is_over, raw = [], threading.Event(), line.sock

    def follow():
        with contextlib.suppress(http.client.HTTPException, OSError):
            for each in answer:
                lines.append(each.decode().strip())
        is_over.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield lines, is_over
    finally:
        # To close it would wait for the thread that reads.
        with contextlib.suppress(OSError):
            raw.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)
        line.close()


def tell(service, job):
    with service.database.write() as session:
        jobs.set_phase(session, jobs.get(session, job), Phase.SEARCH)


def ids(lines):
    return [line for line in lines if line.startswith("id: ")]


def last_event(service, job):
    with service.database.read() as session:
        return jobs.last_event(session, job)


def test_all_streams_of_a_job_get_every_event_and_one_reader_reads_it(either_service):
    service = either_service
    job = service.searching_job()
    known = last_event(service, job)
    sent = {}
    for number in (1, 8):
        with (
            counted_statements() as count,
            listening(service.settings) as url,
            ExitStack() as open_,
        ):
            streams = [open_.enter_context(open_stream(url, job)) for _ in range(number)]
            for lines, _ in streams:
                until(lambda lines=lines, known=known: len(ids(lines)) == known)
            before = count()
            for _ in range(4):
                tell(service, job)
                known += 1
                for lines, _ in streams:
                    until(lambda lines=lines, known=known: len(ids(lines)) == known)
            sent[number] = count() - before
            assert all(ids(lines) == ids(streams[0][0]) for lines, _ in streams)
    # Readers of their own would cost eight times as much; looks that time brings differ a little.
    assert 0 < sent[8] < 4 * sent[1]


def test_a_token_has_so_many_streams_and_one_more_when_one_is_closed(sqlite_url, tmp_path):
    with serve(sqlite_url, tmp_path, streams_per_token=2) as service:
        job = service.searching_job()
        mine, other = service.token("read"), service.token("read")
        path = f"/v1/jobs/{job}/events"
        with listening(service.settings) as url, open_stream(url, job, headers=mine):
            with open_stream(url, job, headers=mine), open_stream(url, job, headers=other):
                refused = httpx2.get(url + path, headers=mine)
                detail = problem(refused, 429, "TooManyStreams")["detail"]
                assert "2 event streams of this token" in detail
                assert "FEATHERWEIGHT_STREAMS_PER_TOKEN" in detail
                assert int(refused.headers["Retry-After"]) > 0
            until(lambda: is_taken(url, path, mine))


def is_taken(url, path, headers):
    with httpx2.stream("GET", url + path, headers=headers, timeout=10) as answer:
        return answer.status_code == 200


def test_without_tokens_an_address_has_so_many_streams(sqlite_url, tmp_path):
    with serve(sqlite_url, tmp_path, streams_per_token=1) as service:
        job = service.searching_job()
        with listening(service.settings) as url, open_stream(url, job):
            refused = httpx2.get(f"{url}/v1/jobs/{job}/events")
            assert "of this address" in problem(refused, 429, "TooManyStreams")["detail"]


def test_finished_and_refused_streams_are_not_counted(sqlite_url, tmp_path):
    with serve(sqlite_url, tmp_path, streams_per_token=1) as service:
        job = finished_job(service)
        for _ in range(3):
            assert read(service.client.get(f"/v1/jobs/{job}/events").text)
            problem(service.client.get("/v1/jobs/none/events"), 404, "JobNotFound")


@pytest.mark.parametrize("by_api", [True, False], ids=["over HTTP", "by another process"])
def test_a_stream_ends_with_its_token(either_service, by_api):
    service = either_service
    job = service.searching_job()
    admin, doomed = service.token("admin"), service.token("read")
    with service.database.read() as session:
        [record], _ = tokens.page(session, limit=1)
    with listening(service.settings) as url, ExitStack() as open_:
        _, is_over = open_.enter_context(open_stream(url, job, headers=doomed))
        _, other_is_over = open_.enter_context(open_stream(url, job, headers=admin))
        if by_api:
            answer = httpx2.delete(f"{url}/v1/tokens/{record.id}", headers=admin)
            assert answer.status_code == 204
        else:
            with service.database.write() as session:
                tokens.revoke(session, record.id)
        assert is_over.wait(timeout=10)
        assert not other_is_over.is_set()
        refused = httpx2.get(f"{url}/v1/jobs/{job}/events", headers=doomed)
        problem(refused, 401, "NotAuthenticated")


def test_a_stream_without_a_token_ends_when_the_first_token_is_made(service):
    job = service.searching_job()
    with listening(service.settings) as url, open_stream(url, job) as (_, is_over):
        service.token("admin")
        assert is_over.wait(timeout=10)


def test_a_reader_that_takes_nothing_is_cut_and_holds_up_nobody(sqlite_url, tmp_path, caplog):
    with serve(sqlite_url, tmp_path, stream_stall_seconds=1.0, streams_per_token=1) as service:
        job = service.searching_job()
        add_large_events(service, job, count=120, size_bytes=100_000)
        with listening(service.settings) as url, deaf_reader(url, job):
            until(lambda: not is_taken(url, f"/v1/jobs/{job}/events", {}))
            # Its place is free once it was cut, though its own end of the line is still open.
            until(lambda: is_taken(url, f"/v1/jobs/{job}/events", {}), seconds=20)
            assert httpx2.get(f"{url}/v1/jobs").status_code == 200
    assert not [record for record in caplog.records if record.exc_info]
    assert "without completing response" not in caplog.text


@contextmanager
def deaf_reader(url, job):
    """A client that asks for a job's events, sees that the answer begins, and never reads on."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect((host, int(port)))
        line.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert line.recv(12) == b"HTTP/1.1 200"
        yield line


def add_large_events(service, job, *, count, size_bytes):
    with service.database.write() as session:
        record = session.get_one(JobRecord, job)
        for _ in range(count):
            record.last_event += 1
            session.add(
                EventRecord(
                    job_id=job,
                    seq=record.last_event,
                    type="job.phase",
                    data={"detail": "x" * size_bytes},
                    at=datetime.now(UTC),
                )
            )


def messages(first, last, size_bytes=10):
    return tuple(Message(seq=seq, text=b"x" * size_bytes) for seq in range(first, last + 1))


def test_a_feed_keeps_little_and_leaves_the_slow_to_themselves():
    feed = Feed()
    assert feed.after(0) is None
    feed.add(News(), newest=10)
    assert feed.after(3) is None
    assert feed.after(10) == News()
    feed.add(News(messages=messages(11, 12)), newest=12)
    assert feed.after(10) == News(messages=messages(11, 12))
    assert feed.after(11) == News(messages=messages(12, 12))
    assert feed.after(9) is None
    feed.add(News(messages=messages(13, 13 + feeds.MOST_KEPT)), newest=13 + feeds.MOST_KEPT)
    assert feed.after(12) is None
    assert len(feed.after(13).messages) == feeds.MOST_KEPT
    last = 14 + feeds.MOST_KEPT
    feed.add(News(messages=messages(last, last, feeds.MOST_BYTES + 1)), newest=last)
    assert feed.after(last - 1) is None
    assert feed.after(last) == News()


def test_the_end_of_a_job_is_the_end_of_its_feed():
    feed = Feed()
    feed.add(News(is_over=True), newest=4)
    assert feed.after(4) == News(is_over=True)
    assert feed.after(3) is None


def test_a_feed_wakes_a_stream_that_read_before_its_first_look():
    async def main():
        feed, stream = Feed(), OpenStream(Holder(token_id=None, address="here"))
        feed.streams.add(stream)
        feed.add(News(), newest=5)
        return await stream.wait(timeout=1), await stream.wait(timeout=0.01)

    assert asyncio.run(main()) == (True, False)


def test_many_events_at_once_reach_a_stream_in_their_order(either_service):
    service = either_service
    job = service.searching_job()
    known = last_event(service, job)
    with listening(service.settings) as url, open_stream(url, job, after=known) as (lines, _):
        with service.database.write() as session:
            record = jobs.lock(session, job)
            for _ in range(feeds.MOST_KEPT + 300):
                jobs.set_phase(session, record, Phase.SEARCH)
        newest = last_event(service, job)
        until(lambda: ids(lines)[-1:] == [f"id: {newest}"])
        assert ids(lines) == [f"id: {seq}" for seq in range(known + 1, newest + 1)]
