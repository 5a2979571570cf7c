"""Server-sent events: all of them, in order, from where the reader left off, to the end."""

import json
import threading

import httpx2

from featherweight.specs.schemas import EventSchema
from featherweight.specs.states import JobState
from store.jobs import jobs
from store.tables.records import EventRecord
from tests import factories
from tests.service.running import listening, problem


def read(text: str) -> list[dict[str, str]]:
    """The messages of a finished stream, field by field; comments and settings are left out."""
    messages = []
    for block in text.strip().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")
        )
        if "event" in fields:
            messages.append(fields)
    return messages


def finished_job(service) -> str:
    job = service.searching_job(waiting=1)
    service.client.post(f"/v1/jobs/{job}/cancel")
    with service.database.write() as session:
        jobs.move(session, jobs.lock(session, job), JobState.CANCELLED)
    return job


def test_a_finished_job_tells_everything_and_ends(either_service):
    service = either_service
    job = finished_job(service)
    answer = service.client.get(f"/v1/jobs/{job}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    messages = read(answer.text)
    assert [int(message["id"]) for message in messages] == list(range(1, len(messages) + 1))
    assert messages[0]["event"] == "job.queued"
    assert messages[-1]["event"] == "job.cancelled"
    events = [EventSchema.model_validate_json(message["data"]) for message in messages]
    assert [event.type for event in events] == [message["event"] for message in messages]
    assert {event.job for event in events} == {job}
    assert len(messages) == service.client.get(f"/v1/jobs/{job}").json()["last_event"]


def test_a_reader_goes_on_after_the_last_event_it_knows(either_service):
    service = either_service
    job = finished_job(service)
    path = f"/v1/jobs/{job}/events"
    everything = read(service.client.get(path).text)
    rest = service.client.get(path, headers={"Last-Event-ID": "3"})
    assert read(rest.text) == everything[3:]
    assert read(service.client.get(f"{path}?after=3").text) == everything[3:]
    last = everything[-1]["id"]
    assert read(service.client.get(path, headers={"Last-Event-ID": last}).text) == []


def test_a_reader_that_missed_removed_events_is_told_to_start_anew(service):
    job = finished_job(service)
    with service.database.write() as session:
        for seq in (1, 2, 3):
            session.delete(session.get_one(EventRecord, (job, seq)))
    messages = read(service.client.get(f"/v1/jobs/{job}/events?after=1").text)
    assert messages[0]["event"] == "reset"
    assert json.loads(messages[0]["data"]) == {"job": job, "first": 4}
    assert "id" not in messages[0]
    assert messages[1]["id"] == "4"
    after = read(service.client.get(f"/v1/jobs/{job}/events?after=3").text)
    assert after[0]["id"] == "4"


def test_a_last_event_id_must_be_a_number(service):
    job = finished_job(service)
    answer = service.client.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "abc"})
    problem(answer, 422, "RequestValidationError")


def test_an_event_reaches_a_waiting_reader_and_the_last_one_ends_the_stream(either_service):
    service = either_service
    job = service.searching_job(waiting=0)
    known = service.client.get(f"/v1/jobs/{job}").json()["last_event"]
    is_listening = threading.Event()

    def work():
        is_listening.wait(10)
        with service.database.write() as session:
            factories.trial(session, jobs.lock(session, job))
        with service.database.write() as session:
            jobs.cancel(session, job)
            jobs.move(session, jobs.lock(session, job), JobState.CANCELLED)

    worker = threading.Thread(target=work)
    worker.start()
    lines = []
    with (
        listening(service.settings) as url,
        httpx2.Client(base_url=url, timeout=10) as client,
        client.stream("GET", f"/v1/jobs/{job}/events?after={known}") as answer,
    ):
        for line in answer.iter_lines():
            is_listening.set()
            lines.append(line)
    worker.join()
    types = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert types == ["trial.created", "job.stopping", "trial.stopped", "job.cancelled"]


def test_a_stopping_service_ends_its_streams(service):
    job = service.searching_job()
    with (
        listening(service.settings) as url,
        httpx2.Client(base_url=url, timeout=10) as client,
        client.stream("GET", f"/v1/jobs/{job}/events") as answer,
    ):
        assert next(answer.iter_lines()) == "retry: 1000"
    assert answer.status_code == 200
