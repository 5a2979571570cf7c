"""``PATCH /v1/jobs/{id}``: name, tags, priority, and the budget upwards."""

import pytest

from search.phases import transitions
from store.jobs import jobs
from tests.service.running import problem, spec


@pytest.fixture
def job(service):
    service.dataset()
    return service.submit(name="first", budget={"trials": 10})["id"]


def patch(service, job, **changes):
    return service.client.patch(f"/v1/jobs/{job}", json=changes)


def test_what_is_changed_is_shown_found_recorded_and_told(either_service):
    service = either_service
    service.dataset()
    job = service.submit(name="first", budget={"trials": 10})["id"]
    other = service.submit(name="other")["id"]
    asked = {"name": "Größe 42", "tags": ["night run", "b", "b"], "priority": 5}
    changed = patch(service, job, **asked, budget={"trials": 30}).json()
    assert (changed["name"], changed["spec"]["name"]) == ("Größe 42", "Größe 42")
    assert (changed["tags"], changed["priority"]) == (["night run", "b"], 5)
    assert changed["spec"]["budget"]["trials"] == 30
    assert service.client.get(f"/v1/jobs/{job}").json()["tags"] == ["night run", "b"]

    def found(**params):
        return [one["id"] for one in service.client.get("/v1/jobs", params=params).json()["items"]]

    assert found(tag="night run") == found(tag="b", name="Größe 42", state="queued") == [job]
    assert found(tag="a") == found(tag="b", name="first") == []
    assert patch(service, other, tags=["b"]).json()["tags"] == ["b"]
    assert found(tag="b") == [other, job]
    assert patch(service, job, tags=[]).json()["tags"] == []
    assert found(tag="b") == [other]
    log = service.client.get("/v1/audit", params={"subject": job}).json()["items"]
    assert [entry["action"] for entry in log] == ["edited", "edited", "created"]
    assert log[1]["detail"] == {"fields": "budget name priority tags"}


def test_the_same_again_changes_and_records_nothing(service, job):
    before = patch(service, job, priority=3).json()["last_event"]
    assert patch(service, job, priority=3).json()["last_event"] == before


def test_a_job_with_tags_is_deleted_whole(service, job):
    patch(service, job, tags=["a"])
    service.client.post(f"/v1/jobs/{job}/cancel")
    with service.database.write() as session:
        transitions.settle(session, jobs.lock(session, job))
    assert service.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert service.client.get("/v1/jobs?tag=a").json()["items"] == []


@pytest.mark.parametrize(
    ("changes", "status", "code", "words"),
    [
        ({}, 422, "RequestValidationError", "name what to change"),
        ({"name": None}, 422, "RequestValidationError", "name what to change"),
        ({"budget": {}}, 422, "RequestValidationError", "name a limit to raise"),
        ({"budget": {"trials": None}}, 422, "RequestValidationError", "would never end"),
        ({"budget": {"trials": 9}}, 409, "BudgetLowered", "can only be raised, not set to 9"),
        ({"budget": {"parallel_trials": 9}}, 422, "RequestValidationError", "not permitted"),
        ({"priority": 101}, 422, "RequestValidationError", "less than or equal to 100"),
        ({"priority": "5"}, 422, "RequestValidationError", ""),
        ({"name": "a\nb"}, 422, "RequestValidationError", "is no name of a job"),
        ({"tags": ["x" * 51]}, 422, "RequestValidationError", "at most 50"),
        ({"tags": ["x" * 1_000_000]}, 422, "RequestValidationError", "is no name"),
        ({"tags": [str(n) for n in range(21)]}, 422, "RequestValidationError", "at most 20"),
        ({"state": "succeeded"}, 422, "RequestValidationError", "not permitted"),
    ],
)
def test_what_cannot_be_changed_is_refused_in_words(service, job, changes, status, code, words):
    before = service.client.get(f"/v1/jobs/{job}").json()
    answer = patch(service, job, **changes)
    problem(answer, status, code)
    assert words in answer.text
    assert len(answer.text) < 2000
    assert service.client.get(f"/v1/jobs/{job}").json()["last_event"] == before["last_event"]


def test_only_the_owner_changes_a_job(service):
    service.dataset()
    alice, bob = (service.token("read", "submit", name=name) for name in ("alice", "bob"))
    made = service.client.post("/v1/jobs", json=spec(), headers=alice).json()["id"]
    path = f"/v1/jobs/{made}"
    problem(service.client.patch(path, json={"priority": 1}, headers=bob), 403, "NotOwner")
    assert service.client.patch(path, json={"priority": 1}, headers=alice).status_code == 200
