"""Answers are computed once per change of their job, and sent only to those who lack them."""

import asyncio
import threading
import time
from contextlib import contextmanager

import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, event
from starlette.requests import Request

from featherweight.specs.states import JobState, Phase
from service.shared.answers import AnswerCache
from service.shared.momentary import Momentary
from service.shared.single_flight import SingleFlight
from store.errors import JobNotFound
from store.jobs import jobs
from tests import factories
from tests.service.running import problem, until

PATHS = ("", "/front", "/recommendation", "/report")


def change(service, job):
    """Something that each of the answers shows: another file, better than the baseline's."""
    with service.database.write() as session:
        factories.trial(session, jobs.lock(session, job))
        measured = factories.measurement(0.95, 900)
        factories.deliver(session, factories.must_claim(session), measured=measured)


@pytest.mark.parametrize("path", PATHS)
def test_an_asker_who_has_the_answer_gets_none_until_the_job_changes(either_service, path):
    service = either_service
    job = finished_searching_job(service)
    address = f"/v1/jobs/{job}{path}"
    first = service.client.get(address)
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie"} <= set(first.headers["Vary"].split(", "))
    tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = service.client.get(address, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == "private, no-cache"
    for unknown in ('"other"', tag.strip('"'), "", "x" * 5000):
        whole = service.client.get(address, headers={"If-None-Match": unknown})
        assert (whole.status_code, whole.content) == (200, first.content)


def finished_searching_job(service):
    job = service.searching_job(waiting=0)
    with service.database.write() as session:
        record = jobs.cancel(session, job)
        jobs.move(session, record, JobState.CANCELLED)
    return job


@pytest.mark.parametrize("path", PATHS)
def test_a_change_is_seen_by_the_next_who_asks(either_service, path):
    service = either_service
    job = service.searching_job(waiting=0)
    address = f"/v1/jobs/{job}{path}"
    before = service.client.get(address)
    change(service, job)
    after = service.client.get(address, headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    assert after.json() != before.json()


@pytest.mark.parametrize("path", PATHS[1:])
def test_the_rungs_of_a_job_are_read_once_per_change(either_service, path):
    service = either_service
    job = service.searching_job(waiting=0)
    with statements() as sent:
        for expected in (1, 2):
            for _ in range(3):
                service.client.get(f"/v1/jobs/{job}{path}")
            assert sum("FROM fw_rungs" in each for each in sent) == expected
            with service.database.write() as session:
                jobs.set_phase(session, jobs.get(session, job), Phase.SEARCH)


@contextmanager
def statements():
    """What is sent to any database while this lasts."""
    sent = []

    def note(connection, cursor, statement, *_):
        sent.append(" ".join(statement.split()))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("path", PATHS)
def test_who_may_not_see_an_answer_is_not_told_that_it_is_the_same(service, path):
    job = finished_searching_job(service)
    address = f"/v1/jobs/{job}{path}"
    tag = service.client.get(address).headers["ETag"]
    service.token("admin")
    refused = service.client.get(address, headers={"If-None-Match": tag})
    problem(refused, 401, "NotAuthenticated")
    assert "ETag" not in refused.headers


def test_how_long_a_job_has_run_is_at_most_a_second_old(service):
    job = service.searching_job(waiting=0)

    def elapsed():
        return service.client.get(f"/v1/jobs/{job}").json()["forecast"]["elapsed_seconds"]

    first = elapsed()
    until(lambda: elapsed() > first, seconds=3)
    assert elapsed() >= 1.0


def test_the_counts_of_the_metrics_are_at_most_two_seconds_old(service):
    service.searching_job(waiting=0)
    line = 'featherweight_jobs{state="running"} '
    assert f"{line}1.0" in service.client.get("/metrics").text
    service.searching_job(waiting=0)
    until(lambda: f"{line}2.0" in service.client.get("/metrics").text, seconds=4)


class Told(BaseModel):
    """A document for the tests below."""

    text: str


def test_answers_are_bounded_in_number_and_bytes(database):
    with database.write() as session:
        ids = [factories.job(session).id for _ in range(4)]

    def small(session, job):
        return Told(text=job.id)

    def large(session, job):
        return Told(text="x" * 5000)

    async def main():
        answers = AnswerCache(database, most=2, most_bytes=4000)
        for job_id in ids:
            await answers.respond(request(), job_id, small)
        assert 0 < answers.size_bytes <= 2 * 1200
        answer = await answers.respond(request(), ids[0], large)
        assert len(answer.body) > 5000
        assert answers.size_bytes == 0
        with pytest.raises(JobNotFound, match="no job none"):
            await answers.respond(request(), "none", small)

    asyncio.run(main())


def test_a_change_in_the_middle_of_a_computation_is_not_missed(database):
    """Who asks after the change never gets the answer that was begun before it."""
    with database.write() as session:
        job = factories.job(session, running=True).id
    begun, go_on, versions = threading.Event(), threading.Event(), []

    def slow(session, record):
        versions.append(record.last_event)
        if len(versions) == 1:
            begun.set()
            assert go_on.wait(10)
        return Told(text=str(record.last_event))

    async def main():
        answers = AnswerCache(database)
        first = asyncio.ensure_future(answers.respond(request(), job, slow))
        await asyncio.to_thread(begun.wait, 10)
        await asyncio.to_thread(tell)
        later = [asyncio.ensure_future(answers.respond(request(), job, slow)) for _ in range(5)]
        await asyncio.sleep(0.1)
        go_on.set()
        return await first, await asyncio.gather(*later)

    def tell():
        with database.write() as session:
            jobs.set_phase(session, jobs.get(session, job), Phase.SEARCH)

    first, later = asyncio.run(main())
    assert versions == [versions[0], versions[0] + 1]
    assert first.body == Told(text=str(versions[0])).model_dump_json().encode()
    assert {answer.body for answer in later} == {
        Told(text=str(versions[1])).model_dump_json().encode()
    }


def request():
    """A request without headers."""
    return Request({"type": "http", "headers": []})


def test_work_that_runs_is_waited_for_and_not_done_twice():
    done = []

    def work():
        done.append(1)
        time.sleep(0.1)
        return len(done)

    def fail():
        done.append(1)
        raise ValueError("not today")

    async def main():
        flights = SingleFlight(threads=2)
        assert await asyncio.gather(*(flights.run("one", work) for _ in range(20))) == [1] * 20
        assert await flights.run("one", work) == 2
        failed = [flights.run("two", fail) for _ in range(3)]
        found = await asyncio.gather(*failed, return_exceptions=True)
        assert [str(error) for error in found] == ["not today"] * 3
        hung_up = asyncio.ensure_future(flights.run("three", work))
        await asyncio.sleep(0.02)
        other = asyncio.ensure_future(flights.run("three", work))
        hung_up.cancel()
        assert await other == 4

    asyncio.run(main())
    assert len(done) == 4


def test_what_is_true_for_a_moment_is_looked_at_once_in_it():
    looks = []

    def look():
        looks.append(1)
        return len(looks)

    async def main():
        momentary = Momentary()
        found = [await momentary.get("it", look, seconds=60) for _ in range(3)]
        later = [await momentary.get("now", look, seconds=0) for _ in range(2)]
        return found, later

    assert asyncio.run(main()) == ([1, 1, 1], [2, 3])
