"""Deleting a job over HTTP: at once, in words, and nowhere left."""

import threading

import httpx2

from featherweight.specs.states import JobState
from store.access import tokens
from store.housekeeping import deletion, retention
from store.jobs import events, jobs, warm_starts
from store.tables.records import JobRecord
from store.trials import trials
from tests import factories
from tests.service.routes.test_events import finished_job, read
from tests.service.running import listening, problem, until


def paths_of(service, job_id) -> list[str]:
    with service.database.read() as session:
        trial = trials.of_job(session, job_id)[0]
    artifact = service.client.get(f"/v1/trials/{trial.id}/artifacts").json()[0]["id"]
    of_job = ("trials", "front", "recommendation", "report", "events", "candidates")
    return [
        *(f"/v1/jobs/{job_id}/{part}" for part in of_job),
        f"/v1/trials/{trial.id}",
        f"/v1/trials/{trial.id}/why",
        f"/v1/trials/{trial.id}/artifacts",
        f"/v1/artifacts/{artifact}",
        f"/v1/artifacts/{artifact}/manifest",
    ]


def start_from(service, source) -> str:
    """Id of a finished job that names the other one as its warm start."""
    with service.database.write() as session:
        second = factories.job(session, name="second", running=True)
        warm_starts.add_sources(session, second, [(source, True)])
        jobs.cancel(session, second.id)
        jobs.move(session, second, JobState.CANCELLED)
        return second.id


def test_a_deleted_job_is_found_nowhere(either_service):
    service = either_service
    job = finished_job(service)
    paths, one = paths_of(service, job), f"/v1/jobs/{job}"
    assert service.client.get(one).json()["state"] == "cancelled"
    tag = service.client.get(f"{one}/report").headers["ETag"]
    answer = service.client.delete(one)
    assert (answer.status_code, answer.content) == (204, b"")
    for path in (one, *paths):
        found = service.client.get(path, headers={"If-None-Match": tag})
        assert found.status_code == 404, path
        assert found.json()["detail"]
    assert job not in service.client.get("/v1/jobs").text
    problem(service.client.delete(one), 404, "JobNotFound")
    for act in ("cancel", "pause", "resume"):
        problem(service.client.post(f"{one}/{act}"), 404, "JobNotFound")


def test_an_unfinished_job_is_not_deleted_and_told_how(either_service):
    service = either_service
    job = service.searching_job()
    found = problem(service.client.delete(f"/v1/jobs/{job}"), 409, "JobNotFinished")
    assert "cancel it" in found["detail"]
    assert service.client.get(f"/v1/jobs/{job}").json()["state"] == "running"


def test_a_job_that_an_unfinished_one_starts_from_is_not_deleted(service):
    source = finished_job(service)
    with service.database.write() as session:
        second = factories.job(session, name="second", running=True)
        warm_starts.add_sources(session, second, [(source, True)])
    found = problem(service.client.delete(f"/v1/jobs/{source}"), 409, "StillInUse")
    assert second.id in found["detail"]


def test_what_a_finished_job_started_from_stays_readable_as_deleted(either_service):
    service = either_service
    source = finished_job(service)
    second, paths = start_from(service, source), paths_of(service, source)
    before = service.client.get(f"/v1/jobs/{source}").json()
    assert service.client.delete(f"/v1/jobs/{source}").status_code == 204
    answer = service.client.get(f"/v1/jobs/{source}")
    found = answer.json()
    assert (found["state"], found["phase"], found["last_event"]) == ("deleted", None, 0)
    assert found["deleted_at"] > before["finished_at"]
    for same in ("id", "name", "spec", "created_at", "started_at", "finished_at"):
        assert found[same] == before[same]
    again = service.client.get(
        f"/v1/jobs/{source}", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304
    for path in paths[:6]:
        assert "was deleted at" in problem(service.client.get(path), 410, "JobDeleted")["detail"]
    problem(service.client.delete(f"/v1/jobs/{source}"), 410, "JobDeleted")
    listed = service.client.get("/v1/jobs").json()["items"]
    assert [job["id"] for job in listed] == [second]
    assert service.client.get("/v1/jobs?state=deleted").json()["items"] == []
    service.client.delete(f"/v1/jobs/{second}")
    problem(service.client.get(f"/v1/jobs/{source}"), 404, "JobNotFound")


def test_a_large_job_is_gone_at_once_and_removed_by_and_by(service):
    job = finished_job(service)
    with service.database.write() as session:
        deletion.begin(session, jobs.lock_alone(session, job))
        deletion.purge(session, job, rows=2)
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/trials", f"/v1/jobs/{job}/events"):
        problem(service.client.get(path), 404, "JobNotFound")
    assert service.client.get("/v1/jobs").json()["items"] == []
    assert 'state="deleted"' not in service.client.get("/metrics").text


def test_a_submission_cannot_start_from_a_deleted_job(service):
    source = finished_job(service)
    start_from(service, source)
    service.client.delete(f"/v1/jobs/{source}")
    spec = factories.spec(warm_start={"jobs": [source]}).model_dump(mode="json")
    found = problem(service.client.post("/v1/jobs", json=spec), 422, "WarmStartDoesNotFit")
    assert source in found["detail"]


def test_an_open_stream_ends_when_its_job_is_deleted(either_service):
    service = either_service
    job = service.searching_job()
    lines: list[str] = []

    def listen(url):
        with httpx2.Client(base_url=url, timeout=60) as client:
            with client.stream("GET", f"/v1/jobs/{job}/events") as answer:
                lines.extend(answer.iter_lines())
            lines.append("ended")

    with listening(service.settings) as url:
        reader = threading.Thread(target=listen, args=(url,))
        reader.start()
        until(lambda: service.client.get("/metrics").status_code == 200)
        with service.database.write() as session:
            jobs.cancel(session, job)
            found = session.get_one(JobRecord, job)
            # As if it had ended long ago: nothing says so to the stream but that it is gone.
            found.state, found.finished_at = JobState.CANCELLED, found.created_at
            deletion.begin(session, found)
        reader.join(timeout=30)
        assert not reader.is_alive()
    assert lines[-1] == "ended"


def test_deleting_needs_the_scope_to_submit(service):
    job = finished_job(service)
    reader = service.token("read")
    problem(service.client.delete(f"/v1/jobs/{job}", headers=reader), 403, "ScopeMissing")
    with service.database.write() as session:
        _, secret = tokens.create(session, name="submitter", scopes=["submit"])
    allowed = {"Authorization": f"Bearer {secret}"}
    assert service.client.delete(f"/v1/jobs/{job}", headers=allowed).status_code == 204


def test_a_reader_of_an_old_job_is_told_of_the_gap_and_of_the_end(either_service):
    service = either_service
    job = finished_job(service)
    last = service.client.get(f"/v1/jobs/{job}").json()["last_event"]
    with service.database.write() as session:
        found = session.get_one(JobRecord, job)
        assert retention.forget_events(session, before=found.finished_at) == 0
    with service.database.write() as session:
        session.get_one(JobRecord, job).finished_at = found.created_at
        session.flush()
        retention.forget_events(session, before=found.finished_at)
        assert [event.seq for event in events.after(session, job, 0)] == [last]
    messages = read(service.client.get(f"/v1/jobs/{job}/events").text)
    assert [message["event"] for message in messages] == ["reset", "job.cancelled"]
    assert messages[-1]["id"] == str(last)
