"""Meters over HTTP: what they are given, what they may say, and where their figures stand."""

import threading

import httpx2
import pytest

from featherweight.specs.protocol import FENCE_HEADER
from featherweight.specs.schemas import FrontSchema
from service.reports import metering
from store.access import tokens
from store.jobs import jobs
from store.meters import meters
from tests import factories, meter_factories
from tests.service.routes.test_fronts import search_with
from tests.service.running import listening, problem, until


def claim(service, name="board", **changes):
    info = meter_factories.info(name, **changes).model_dump(mode="json")
    body = {"meter": info, "wait_seconds": 0}
    return service.client.post("/v1/measurements", json=body)


def say(service, task, verb, body=None, *, token=None):
    path = f"/v1/measurements/{task['measurement']}/{verb}"
    headers = {FENCE_HEADER: token or task["token"]}
    return service.client.post(path, json=body, headers=headers)


def result(latency_ms=2.5, **changes):
    return meter_factories.result(latency_ms).model_dump(mode="json") | changes


def measured(service, name="board"):
    """The artifacts that a meter measures until nothing is left, in their order."""
    found = []
    while (answer := claim(service, name)).status_code == 200:
        task = answer.json()
        found.append(task["artifact"])
        assert say(service, task, "result", result(1.0 + len(found))).status_code == 200
    assert answer.status_code == 204
    return found


def front_of(service, job):
    return FrontSchema.model_validate(service.client.get(f"/v1/jobs/{job}/front").json())


def test_a_meter_measures_the_baseline_and_the_front_and_nothing_else(either_service):
    service = either_service
    job = search_with(
        service,
        factories.measurement(0.80, 300),
        factories.measurement(0.85, 500),
        factories.measurement(0.70, 600),
    )
    assert claim(service, "early").status_code == 200
    files = measured(service)
    front = front_of(service, job)
    assert front.baseline is not None
    assert files[0] == front.baseline.artifact
    assert set(files) == {point.artifact for point in front.points}
    readings = [point.meters for point in front.points]
    assert [[one.meter for one in each] for each in readings] == [["board"]] * 3
    assert front.baseline.meters[0].figures[0].latency_ms == 2.0
    [known] = service.client.get(f"/v1/artifacts/{files[-1]}/measurements").json()[:1]
    assert (known["meter"], known["device"]) == ("board", "Raspberry Pi 5")
    assert [one["name"] for one in service.client.get("/v1/meters").json()] == ["board", "early"]


def test_a_measurement_changes_the_front_and_its_tag_but_no_event_of_the_job(service):
    job = search_with(service, factories.measurement(0.80, 300))
    path = f"/v1/jobs/{job}/front"
    before = service.client.get(path)
    known = {"If-None-Match": before.headers["ETag"]}
    assert service.client.get(path, headers=known).status_code == 304
    assert measured(service)
    after = service.client.get(path, headers=known)
    assert after.status_code == 200
    assert after.json()["points"][0]["meters"]
    last = [service.client.get(f"/v1/jobs/{job}").json()["last_event"]]
    with service.database.read() as session:
        assert last == [jobs.last_event(session, job)]


def test_a_long_front_is_measured_at_evenly_spaced_files(service, monkeypatch):
    monkeypatch.setattr(metering, "MOST_FILES", 5)
    sizes = range(200, 900, 100)
    measured_ones = [factories.measurement(0.5 + size / 2500, size) for size in sizes]
    job = search_with(service, *measured_ones, budget={"trials": 20, "parallel_trials": 2})
    files = measured(service)
    points = front_of(service, job).points
    chosen = [point.size_bytes for point in points if point.artifact in files]
    assert chosen[0] == 200
    assert chosen[-1] == 1000
    assert len(files) <= 5


def test_a_stale_token_is_refused_and_a_file_that_is_given_back_waits_again(service):
    search_with(service)
    task = claim(service).json()
    problem(say(service, task, "heartbeat", token="another"), 409, "StaleAttempt")
    assert say(service, task, "heartbeat").json()["lease_seconds"] > 0
    assert say(service, task, "release").json()["state"] == "waiting"
    problem(say(service, task, "result", result()), 409, "StaleAttempt")
    again = claim(service).json()
    assert again["measurement"] == task["measurement"]
    unknown = {**again, "measurement": "none"}
    problem(say(service, unknown, "heartbeat"), 404, "MeasurementNotFound")


def figures(**changes):
    [one] = result()["figures"]
    return {"figures": [one | changes]}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"figures": [], "detail": ""},
        {"figures": result()["figures"] * 9},
        {"detail": "x" * 1001},
        {"detail": "two\nlines"},
        {"detail": "escape \u001b[31m"},
        {"detail": "words", "more": 1},
        figures(latency_ms=0),
        figures(latency_ms=-1.0),
        figures(latency_ms=1e300),
        figures(latency_ms="2.5"),
        figures(latency_ms=None),
        figures(peak_memory_bytes=2**60),
        figures(clock="sun"),
        figures(refusal="no"),
        figures(runtime={"name": "UPPER", "version": "1"}),
        figures(runtime={"name": "onnxruntime", "version": "\u0007"}),
    ],
    ids=lambda said: str(said)[:60],
)
def test_a_hostile_meter_can_say_nothing_but_numbers_and_short_lines(service, said):
    search_with(service)
    task = claim(service).json()
    assert say(service, task, "result", said).status_code == 422
    for word in ("NaN", "Infinity", "1e999"):
        body = f'{{"figures": [{{"latency_ms": {word}}}]}}'
        path = f"/v1/measurements/{task['measurement']}/result"
        headers = {FENCE_HEADER: task["token"], "Content-Type": "application/json"}
        assert service.client.post(path, content=body, headers=headers).status_code == 422
    assert say(service, task, "result", result()).status_code == 200


def test_who_offers_a_meter_needs_a_token_for_work(service):
    search_with(service)
    headers = service.token("read")
    info = meter_factories.info().model_dump(mode="json")
    body = {"meter": info, "wait_seconds": 0}
    answer = service.client.post("/v1/measurements", json=body, headers=headers)
    problem(answer, 403, "ScopeMissing")
    headers = service.token("work")
    answer = service.client.post("/v1/measurements", json=body, headers=headers)
    assert answer.status_code == 200


def test_a_meter_whose_token_was_revoked_while_it_waited_gets_no_file(service):
    doomed = service.token("work")
    body = {"meter": meter_factories.info().model_dump(mode="json"), "wait_seconds": 20}
    answers = []

    def is_known():
        with service.database.read() as session:
            return bool(meters.every(session))

    with listening(service.settings) as url:
        thread = threading.Thread(
            target=lambda: answers.append(
                httpx2.post(f"{url}/v1/measurements", json=body, headers=doomed, timeout=60)
            )
        )
        thread.start()
        until(is_known)
        with service.database.write() as session:
            [record], _ = tokens.page(session, limit=1)
            tokens.revoke(session, record.id)
        search_with(service)
        thread.join(timeout=20)
    problem(answers[0], 401, "NotAuthenticated")
