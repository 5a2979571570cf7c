"""The worker protocol over HTTP."""

import contextlib
import logging
import threading
import time

import httpx2
import pytest

from featherweight.specs.protocol import Assignment
from featherweight.specs.states import TrialState
from store.jobs import jobs
from store.trials import trials
from tests import factories
from tests.running import until
from tests.service.running import claim, listening, problem, sha256

ONNX = b"o" * 1000


def fence(assignment):
    return {"Fencing-Token": assignment["token"]}


def say(service, assignment, verb, body=None):
    path = f"/v1/attempts/{assignment['attempt']}/{verb}"
    return service.client.post(path, json=body, headers=fence(assignment))


def send(service, assignment, content, digest=None):
    path = f"/v1/attempts/{assignment['attempt']}/files/{digest or sha256(content)}"
    return service.client.put(path, content=content, headers=fence(assignment))


def report(service, assignment, rung, accuracy=0.8):
    body = {
        "rung": rung,
        "epochs": rung,
        "measurement": factories.measurement(accuracy, len(ONNX)).model_dump(mode="json"),
        "files": [{"role": "onnx", "sha256": sha256(ONNX), "size_bytes": len(ONNX)}],
    }
    return say(service, assignment, "reports", body)


def test_a_trial_goes_from_claim_to_complete(either_service):
    service = either_service
    service.searching_job()
    answer = claim(service)
    assert answer.status_code == 200
    assignment = answer.json()
    assert Assignment.model_validate(assignment).number == 1
    beat = say(service, assignment, "heartbeat", {"stage": "recover"})
    assert beat.json() == {"lease_seconds": service.settings.lease_seconds, "stop": None}
    assert send(service, assignment, ONNX).status_code == 201
    assert send(service, assignment, ONNX).status_code == 200
    first = report(service, assignment, 0).json()
    assert (first["stop"], first["peers"], first["allowed"]) == (False, 1, 1)
    assert report(service, assignment, 0).json() == first
    assert "last rung" in report(service, assignment, 1).json()["reason"]
    # The report that decided the end has ended it: to say so again changes nothing.
    done = say(service, assignment, "complete")
    assert done.json() == {"trial": assignment["trial"], "state": "complete", "repeated": True}
    trial = service.client.get(f"/v1/trials/{assignment['trial']}").json()
    assert (trial["state"], trial["file"]) == ("complete", sha256(ONNX))


def test_there_is_nothing_to_do_without_a_running_job(either_service):
    answer = claim(either_service)
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_file_is_kept_only_if_it_is_what_was_announced(service):
    service.searching_job()
    assignment = claim(service).json()
    answer = send(service, assignment, ONNX, digest="0" * 64)
    assert sha256(ONNX) in problem(answer, 422, "DigestMismatch")["detail"]
    assert not service.files.folder.joinpath("sha256").exists()


def test_a_report_needs_its_files_and_its_turn(service):
    service.searching_job()
    assignment = claim(service).json()
    problem(report(service, assignment, 0), 404, "ArtifactNotFound")
    send(service, assignment, ONNX)
    problem(report(service, assignment, 1), 409, "RungOutOfOrder")
    problem(say(service, assignment, "complete"), 409, "Conflict")


def test_a_worker_without_its_token_may_do_nothing(service):
    service.searching_job()
    assignment = claim(service).json()
    path = f"/v1/attempts/{assignment['attempt']}"
    problem(service.client.post(f"{path}/complete"), 422, "RequestValidationError")
    wrong = {"Fencing-Token": "wrong"}
    problem(service.client.post(f"{path}/complete", headers=wrong), 409, "StaleAttempt")
    problem(
        service.client.put(f"{path}/files/{sha256(ONNX)}", content=ONNX, headers=wrong),
        409,
        "StaleAttempt",
    )
    problem(say(service, assignment | {"attempt": "none"}, "complete"), 404, "AttemptNotFound")


def test_a_weak_trial_is_stopped_at_its_rung_and_can_say_why(service):
    job = service.searching_job(waiting=4, budget={"trials": 8, "parallel_trials": 4})
    decisions = []
    for number, accuracy in enumerate((0.85, 0.8, 0.7, 0.6)):
        assignment = claim(service, f"worker-{number}").json()
        send(service, assignment, ONNX)
        decisions.append(report(service, assignment, 0, accuracy).json())
        if decisions[-1]["stop"]:
            assert say(service, assignment, "complete").json()["state"] == "stopped"
    assert [decision["stop"] for decision in decisions] == [False, True, True, True]
    stopped = service.client.get(f"/v1/jobs/{job}/trials?state=stopped").json()["items"]
    why = service.client.get(f"/v1/trials/{stopped[0]['id']}/why").json()
    assert why["rungs"][0]["decision"] == decisions[1]
    assert why["reason"] == decisions[1]["reason"]


def test_a_failed_trial_has_its_class_and_does_not_end_the_job(service):
    job = service.searching_job(waiting=2)
    assignment = claim(service).json()
    failure = {"failure_class": "numerical", "message": "loss is not finite"}
    assert say(service, assignment, "fail", failure).json()["state"] == "failed"
    trial = service.client.get(f"/v1/trials/{assignment['trial']}").json()
    assert (trial["failure_class"], "loss is not finite" in trial["reason"]) == ("numerical", True)
    assert service.client.get(f"/v1/jobs/{job}").json()["state"] == "running"
    odd = {"failure_class": "weather", "message": ""}
    problem(say(service, assignment, "fail", odd), 422, "RequestValidationError")


def test_cancelling_reaches_the_worker_with_its_next_heartbeat(service):
    job = service.searching_job()
    assignment = claim(service).json()
    service.client.post(f"/v1/jobs/{job}/cancel")
    assert say(service, assignment, "heartbeat", {}).json()["stop"] == "cancelled"
    assert say(service, assignment, "release").json()["state"] == "stopped"


def test_a_waiting_worker_gets_a_trial_the_moment_there_is_one(either_service):
    service = either_service
    job = service.searching_job(waiting=0)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(claim(service, wait_seconds=20)))
    waiting.start()
    with service.database.write() as session:
        factories.trial(session, jobs.lock(session, job))
    waiting.join(timeout=10)
    assert answers[0].status_code == 200


def test_a_worker_that_hung_up_gets_no_trial(service):
    job = service.searching_job(waiting=0)
    body = {"worker": factories.worker_info().model_dump(mode="json"), "wait_seconds": 30}
    with listening(service.settings) as url, httpx2.Client(base_url=url) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post("/v1/attempts", json=body, timeout=httpx2.Timeout(5, read=0.3))
        # Every request that has ended is counted, also one that nobody waits for any more.
        until(lambda: 'route="/v1/attempts"' in client.get("/metrics").text)
        with service.database.write() as session:
            trial = factories.trial(session, jobs.lock(session, job)).id
        other = {
            "worker": factories.worker_info("other").model_dump(mode="json"),
            "wait_seconds": 0,
        }
        answer = client.post("/v1/attempts", json=other)
    assert answer.json()["trial"] == trial
    with service.database.read() as session:
        assert trials.get(session, trial).state == TrialState.RUNNING
        assert trials.get(session, trial).num_attempts == 1


def test_a_worker_that_waits_is_answered_when_the_service_stops(service, caplog):
    body = {"worker": factories.worker_info().model_dump(mode="json"), "wait_seconds": 30}
    answers = []

    def wait(url):
        answers.append(httpx2.post(f"{url}/v1/attempts", json=body, timeout=30))

    with listening(service.settings) as url:
        waiting = threading.Thread(target=wait, args=(url,))
        waiting.start()
        until(lambda: "worker" in httpx2.get(f"{url}/v1/workers").text)
    waiting.join(timeout=10)
    assert answers[0].status_code == 204
    assert not [record for record in caplog.records if record.exc_info]


def test_a_file_whose_sender_hung_up_is_not_kept_and_is_no_error_of_the_service(service, caplog):
    service.searching_job()
    assignment = claim(service).json()
    caplog.set_level(logging.INFO)
    path = f"/v1/attempts/{assignment['attempt']}/files/{sha256(ONNX)}"
    with listening(service.settings) as url, contextlib.suppress(httpx2.HTTPError):
        cut_short = {**fence(assignment), "Content-Length": str(len(ONNX))}
        httpx2.put(url + path, content=breaks_off(), headers=cut_short)
    until(lambda: f"{path}: the sender hung up" in caplog.text)
    assert not [record for record in caplog.records if record.exc_info]
    assert service.client.get(f"/v1/files/{sha256(ONNX)}").status_code == 404
    assert send(service, assignment, ONNX).status_code == 201


def breaks_off():
    yield ONNX[:10]
    raise httpx2.WriteError("killed")


def test_weights_and_data_are_fetched_by_digest(service):
    stored = service.files.put([b"weights"], limit=100)
    path = f"/v1/files/{stored.sha256}"
    answer = service.client.get(path)
    assert (answer.content, answer.headers["ETag"]) == (b"weights", f'"{stored.sha256}"')
    assert service.client.head(path).headers["Content-Length"] == "7"
    assert service.client.get(path, headers={"Range": "bytes=3-"}).content == b"ghts"


def test_busy_workers_are_listed_with_their_trial(either_service):
    service = either_service
    service.searching_job()
    assignment = claim(service, "busy").json()
    claim(service, "idle")
    found = {
        worker["name"]: worker["trial"]
        for worker in service.client.get("/v1/workers").json()["items"]
    }
    assert found["busy"] == assignment["trial"]
    assert found["idle"] is None


def test_the_wait_for_a_trial_is_not_counted_as_time_of_the_answer(service):
    service.searching_job(waiting=0)
    began = time.monotonic()
    assert claim(service, wait_seconds=1).status_code == 204
    waited = time.monotonic() - began
    text = service.client.get("/metrics").text
    sums = 'featherweight_request_seconds_sum{method="POST",route="/v1/attempts",status="204"}'
    [line] = [line for line in text.splitlines() if line.startswith(sums)]
    assert 0 < float(line.rpartition(" ")[2]) < waited - 0.5
