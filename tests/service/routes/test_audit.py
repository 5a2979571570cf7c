"""The audit log over HTTP: every change once, by whom, and nothing that was sent."""

import pytest

from store.access import audit
from tests import factories
from tests.service.routes.test_owners import STEPS
from tests.service.running import MODEL_FIELDS, form, npz, problem, spec, weights


def entries(service, headers, query=""):
    """The log, oldest first, as actor, action, kind and name."""
    items = service.client.get(f"/v1/audit{query}", headers=headers).json()["items"]
    return [(one["actor"], one["action"], one["kind"], one["name"]) for one in items[::-1]]


def test_every_change_is_in_the_log_once(either_service):
    service = either_service
    admin, alice = service.token("admin", name="root"), service.token("submit", name="alice")
    post = service.client.post
    for _ in range(2):
        post("/v1/datasets", headers=alice, **form(npz(), name="digits"))
        post("/v1/models", headers=alice, **form(weights(), **MODEL_FIELDS))
    key = alice | {"Idempotency-Key": "k"}
    job, _ = [post("/v1/jobs", json=spec(), headers=key).json()["id"] for _ in range(2)]
    assert post(f"/v1/jobs/{job}/cancel", headers=admin).status_code == 200
    clone = post(f"/v1/jobs/{job}/clone", json={"name": "again"}, headers=alice).json()["id"]
    post(f"/v1/jobs/{clone}/candidates", json=[{"steps": STEPS}], headers=alice)
    for _ in range(2):
        service.client.delete("/v1/models/network", headers=alice)
        post(f"/v1/jobs/{job}/cancel", headers=admin)
    assert entries(service, admin) == [
        ("alice", "created", "dataset", "digits"),
        ("alice", "created", "model", "network"),
        ("alice", "created", "job", "job"),
        ("root", "cancelled", "job", "job"),
        ("alice", "cloned", "job", "again"),
        ("alice", "candidates_proposed", "job", "again"),
        ("alice", "deleted", "model", "network"),
    ]
    of_clone = service.client.get(f"/v1/audit?subject={clone}", headers=admin).json()["items"]
    assert [one["detail"] for one in of_clone] == [{"candidates": 1}, {"job": job}]


def test_pauses_and_reruns_are_in_the_log_and_their_repeats_are_not(service):
    job = service.searching_job(owner="alice", budget={"trials": 12})
    admin, alice = service.token("admin", name="root"), service.token("submit", name="alice")
    with service.database.read() as session:
        trial = factories.trials.of_job(session, job)[0].id
    for path in (f"jobs/{job}/pause", f"jobs/{job}/resume"):
        for _ in range(2):
            assert service.client.post(f"/v1/{path}", headers=alice).status_code == 200
    assert service.client.post(f"/v1/trials/{trial}/rerun", headers=alice).status_code == 201
    actions = [action for _, action, _, _ in entries(service, admin)]
    assert actions == ["paused", "resumed", "trial_rerun"]


def test_tokens_are_in_the_log_without_their_secrets(either_service):
    service = either_service
    admin = service.token("admin", name="root")
    body = {"name": "laptop", "scopes": ["submit"]}
    made = service.client.post("/v1/tokens", json=body, headers=admin).json()
    for _ in range(2):
        path = f"/v1/tokens/{made['id']}"
        assert service.client.delete(path, headers=admin).status_code == 204
    listed = service.client.get("/v1/audit?kind=token", headers=admin)
    assert made["secret"] not in listed.text
    assert [one["action"] for one in listed.json()["items"]] == ["revoked", "created"]
    assert listed.json()["items"][1]["detail"] == {"scopes": "submit"}


def test_the_log_is_for_admins_and_can_be_filtered_and_paged(service):
    service.dataset()
    job = service.submit()["id"]
    with service.database.write() as session:
        record = factories.jobs.get(session, job)
        for number in range(5):
            audit.note(session, "alice", "candidates_proposed", record, candidates=number)
    admin = service.token("admin", name="root")
    problem(service.client.get("/v1/audit", headers=service.token("submit")), 403, "ScopeMissing")
    assert entries(service, admin, "?kind=job&limit=200")[0] == (None, "created", "job", "job")
    assert len(entries(service, admin, f"?actor=alice&subject={job}")) == 5
    assert entries(service, admin, "?kind=model") == []
    seen, cursor = [], ""
    while cursor is not None:
        page = service.client.get(f"/v1/audit?actor=alice&limit=2{cursor}", headers=admin).json()
        seen += [one["detail"]["candidates"] for one in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("query", ["actor=%00", "subject=%00", "kind=secret", "actor="])
def test_a_filter_that_nothing_can_meet_is_refused(service, query):
    problem(service.client.get(f"/v1/audit?{query}"), 422, "RequestValidationError")
