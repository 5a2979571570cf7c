"""Two tokens against each other: what one made, the other may read and not change."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.routing import APIRoute

from service.app import ROUTERS
from store.access import tokens
from store.database import clock
from store.files import uploads
from store.trials import trials
from tests import factories
from tests.service.running import MODEL_FIELDS, form, npz, problem, serve, spec, weights

STEPS = [
    {"technique": "filter_pruning", "ratios": [0.3, 0.5]},
    {"technique": "quantization", "weight_bits": 8},
]
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True, kw_only=True)
class Things:
    """One of everything that Alice has made."""

    job: str
    paused: str
    ended: str
    trial: str
    upload: str
    finished: str
    """An upload that has arrived."""


Request = tuple[str, str, dict[str, Any]]
GUARDED: dict[str, Callable[[Things], Request]] = {
    "cancel_job": lambda it: ("POST", f"/v1/jobs/{it.job}/cancel", {}),
    "edit_job": lambda it: ("PATCH", f"/v1/jobs/{it.job}", {"json": {"priority": 1}}),
    "pause_job": lambda it: ("POST", f"/v1/jobs/{it.job}/pause", {}),
    "resume_job": lambda it: ("POST", f"/v1/jobs/{it.paused}/resume", {}),
    "rerun_trial": lambda it: ("POST", f"/v1/trials/{it.trial}/rerun", {}),
    "propose_candidates": lambda it: (
        "POST",
        f"/v1/jobs/{it.job}/candidates",
        {"json": [{"steps": STEPS}]},
    ),
    "delete_job": lambda it: ("DELETE", f"/v1/jobs/{it.ended}", {}),
    "upload_model": lambda it: ("POST", "/v1/models", of_upload(it.finished, **MODEL_FIELDS)),
    "delete_model": lambda it: ("DELETE", "/v1/models/alices-model", {}),
    "upload_dataset": lambda it: ("POST", "/v1/datasets", of_upload(it.finished, name="new")),
    "delete_dataset": lambda it: ("DELETE", "/v1/datasets/alices-data", {}),
    "continue_upload": lambda it: (
        "PATCH",
        f"/v1/uploads/{it.upload}",
        {"content": b"ab", "headers": {"Upload-Offset": "0"}},
    ),
    "drop_upload": lambda it: ("DELETE", f"/v1/uploads/{it.upload}", {}),
}
"""How each operation changes something of Alice's."""
UNGUARDED = {
    "submit_job": "makes something of one's own",
    "clone_job": "makes something of one's own; it reads another's job, as everybody may",
    "begin_upload": "makes something of one's own",
    "create_token": "needs an admin",
    "revoke_token": "needs an admin",
    "claim_trial": "workers serve all owners",
    "heartbeat": "the attempt's own secret is asked for",
    "send_file": "the attempt's own secret is asked for",
    "report_rung": "the attempt's own secret is asked for",
    "complete_attempt": "the attempt's own secret is asked for",
    "fail_attempt": "the attempt's own secret is asked for",
    "release_attempt": "the attempt's own secret is asked for",
    "claim_measurement": "meters serve all owners",
    "beat_measurement": "the measurement's own secret is asked for",
    "report_measurement": "the measurement's own secret is asked for",
    "release_measurement": "the measurement's own secret is asked for",
    "log_in": "changes nothing that is stored but a browser's own session",
    "log_out": "changes nothing that is stored but a browser's own session",
}
"""Operations that change something, and why none of it is another owner's."""


def of_upload(upload, **fields):
    """A form that names a finished upload; sent as a form with parts."""
    parts = {"spec": json.dumps(fields), "upload": upload}
    return {"files": {name: (None, value) for name, value in parts.items()}}


def send(service, request, headers):
    method, path, arguments = request
    own = arguments.get("headers", {})
    rest = {name: value for name, value in arguments.items() if name != "headers"}
    return service.client.request(method, path, headers=own | headers, **rest)


@pytest.fixture
def token(either_service):
    """Makes the header of a token of this name."""
    return lambda name, *scopes: either_service.token(*(scopes or ("submit",)), name=name)


def made_by(service, owner, *, content=None):
    """One of everything, made by the owner."""
    with service.database.write() as session:
        job = factories.searching_job(session, owner=owner, budget={"trials": 12})
        paused = factories.job(session, owner=owner, running=True)
        paused.state = "paused"
        ended = factories.job(session, owner=owner, running=True)
        ended.state, ended.finished_at = "succeeded", clock.utc_now()
        factories.model(session, "alices-model", owner=owner)
        factories.dataset(session, "alices-data", owner=owner)
        baseline = trials.of_job(session, job.id)[0].id
        upload = uploads.create(session, size_bytes=4, owner=owner)
        content = content or npz()
        finished = uploads.create(session, size_bytes=len(content), owner=owner)
    service.files.begin_upload(upload.id)
    service.files.begin_upload(finished.id)
    service.files.append_upload(finished.id, [content], offset=0, limit=len(content))
    return Things(
        job=job.id,
        paused=paused.id,
        ended=ended.id,
        trial=baseline,
        upload=upload.id,
        finished=finished.id,
    )


def things_for(service, operation, owner):
    return made_by(service, owner, content=weights() if operation == "upload_model" else None)


def test_every_operation_that_changes_something_is_guarded_or_says_why_not():
    routes = [route for router in ROUTERS for route in router.routes]
    assert all(isinstance(route, APIRoute) for route in routes)
    changing = {r.operation_id or r.name for r in routes if (r.methods or set()) & CHANGING}
    assert changing == GUARDED.keys() | UNGUARDED.keys()
    assert not GUARDED.keys() & UNGUARDED.keys()


@pytest.mark.parametrize("operation", GUARDED)
def test_another_token_changes_nothing_and_is_told_whose_it_is(either_service, token, operation):
    service = either_service
    things = things_for(service, operation, "alice")
    request, bob, alice = GUARDED[operation](things), token("bob"), token("alice")
    answer = send(service, request, bob)
    assert "belongs to 'alice'" in problem(answer, 403, "NotOwner")["detail"]
    # It was not changed: its owner can still do it, with a newer token, too.
    answer = send(service, request, alice)
    assert answer.status_code in (200, 201, 204), answer.text


@pytest.mark.parametrize("operation", GUARDED)
@pytest.mark.parametrize(
    ("owner", "caller"), [("alice", ("admin", "root")), ("", ("submit", "bob"))]
)
def test_an_admin_may_and_what_nobody_owns_is_everybodys(service, operation, owner, caller):
    scope, name = caller
    things = things_for(service, operation, owner)
    answer = send(service, GUARDED[operation](things), service.token(scope, name=name))
    assert answer.status_code in (200, 201, 204), answer.text


def test_an_upload_of_another_is_not_even_seen(either_service, token):
    things = made_by(either_service, "alice")
    client, path = either_service.client, f"/v1/uploads/{things.upload}"
    problem(client.get(path, headers=token("bob")), 403, "NotOwner")
    assert client.head(path, headers=token("bob")).status_code == 403
    assert client.get(path, headers=token("alice")).json()["owner"] == "alice"


def test_what_a_token_makes_is_its_own_and_everybody_may_see_whose(either_service, token):
    service, alice, bob = either_service, token("alice"), token("bob")
    data = form(npz(), name="digits")
    assert service.client.post("/v1/datasets", headers=alice, **data).json()["owner"] == "alice"
    network = form(weights(), **MODEL_FIELDS)
    assert service.client.post("/v1/models", headers=bob, **network).json()["owner"] == "bob"
    mine = service.client.post("/v1/jobs", json=spec(), headers=alice).json()
    path = f"/v1/jobs/{mine['id']}/clone"
    theirs = service.client.post(path, json={"seed": 1}, headers=bob).json()
    assert (mine["owner"], theirs["owner"]) == ("alice", "bob")
    for kind, owner, found in (
        ("jobs", "alice", [mine["id"]]),
        ("jobs", "bob", [theirs["id"]]),
        ("jobs", "carol", []),
    ):
        listed = service.client.get(f"/v1/{kind}?owner={owner}", headers=bob).json()["items"]
        assert [one["id"] for one in listed] == found
    for kind, owner in (("datasets", "alice"), ("models", "bob")):
        listed = service.client.get(f"/v1/{kind}?owner={owner}", headers=bob).json()["items"]
        assert [one["owner"] for one in listed] == [owner]
        assert service.client.get(f"/v1/{kind}?owner=carol", headers=bob).json()["items"] == []


@pytest.mark.parametrize("owner", ["%00", "x" * 256, ""])
def test_an_owner_that_no_token_can_have_is_not_looked_for(service, owner):
    problem(service.client.get(f"/v1/jobs?owner={owner}"), 422, "RequestValidationError")


def test_without_tokens_nobody_owns_anything(service):
    service.dataset()
    job = service.submit()
    assert job["owner"] is None
    # Nor does a token of our own processes.
    with service.database.write() as session:
        tokens.renew_own(session, name="up-1-client", scopes=["admin"], secret="fw_own" * 9)
    own = {"Authorization": f"Bearer {'fw_own' * 9}"}
    again = service.client.post("/v1/jobs", json=spec(), headers=own).json()
    assert again["owner"] is None
    assert service.client.post(f"/v1/jobs/{job['id']}/cancel", headers=own).status_code == 200


def test_two_tokens_with_one_key_get_two_jobs(either_service, token):
    service = either_service
    service.dataset()
    key = {"Idempotency-Key": "nightly"}

    def post(headers, **changes):
        return service.client.post("/v1/jobs", json=spec(**changes), headers=headers | key)

    first, second = post(token("alice")), post(token("bob"))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert post(token("carol"), name="other").status_code == 201
    again = post(token("alice"))
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    problem(post(token("alice"), name="other"), 409, "IdempotencyConflict")


def test_a_submission_beyond_the_limit_is_refused_and_makes_nothing(database_url, tmp_path):
    with serve(database_url, tmp_path, jobs_per_token=2) as service:
        service.dataset()
        # Admins are limited as everybody is.
        alice, bob = service.token("admin", name="alice"), service.token("submit", name="bob")
        first = service.client.post("/v1/jobs", json=spec(), headers=alice).json()
        path = f"/v1/jobs/{first['id']}/clone"
        assert service.client.post(path, json={}, headers=alice).status_code == 201
        for one in (
            service.client.post("/v1/jobs", json=spec(), headers=alice),
            service.client.post(path, json={}, headers=alice),
        ):
            detail = problem(one, 403, "JobLimitReached")["detail"]
            assert "FEATHERWEIGHT_JOBS_PER_TOKEN" in detail
        assert len(service.client.get("/v1/jobs", headers=alice).json()["items"]) == 2
        assert service.client.post("/v1/jobs", json=spec(), headers=bob).status_code == 201


def test_a_repeat_is_answered_at_the_limit_too(database_url, tmp_path):
    with serve(database_url, tmp_path, jobs_per_token=1) as service:
        service.dataset()
        headers = service.token("submit", name="alice") | {"Idempotency-Key": "k"}
        for status in (201, 200):
            answer = service.client.post("/v1/jobs", json=spec(), headers=headers)
            assert answer.status_code == status


def test_bytes_beyond_the_limit_are_refused_and_nothing_stays(database_url, tmp_path):
    content = npz()
    most = len(content) + 100
    with serve(database_url, tmp_path, stored_bytes_per_token=most) as service:
        alice, bob = service.token("submit", name="alice"), service.token("submit", name="bob")

        def begin(size, headers):
            return service.client.post("/v1/uploads", json={"size_bytes": size}, headers=headers)

        begun = begin(101, alice)
        assert begun.status_code == 201
        data = form(content, name="digits")
        answer = service.client.post("/v1/datasets", headers=alice, **data)
        detail = problem(answer, 403, "StorageLimitReached")["detail"]
        assert "FEATHERWEIGHT_STORED_BYTES_PER_TOKEN" in detail
        assert not [path for path in service.files.folder.rglob("*") if is_content(path, content)]
        problem(begin(most - 100, alice), 403, "StorageLimitReached")
        # What is given up makes room, and nobody else is in the way.
        path = f"/v1/uploads/{begun.json()['id']}"
        assert service.client.delete(path, headers=alice).status_code == 204
        assert service.client.post("/v1/datasets", headers=alice, **data).status_code == 201
        again = service.client.post("/v1/datasets", headers=alice, **data)
        assert again.status_code == 200, "a repeat needs no room"
        assert begin(most, bob).status_code == 201


def is_content(path, content):
    return path.is_file() and path.stat().st_size == len(content)


def test_a_body_that_cannot_fit_is_refused_before_it_comes(service, tmp_path):
    with serve(service.settings.database_url, tmp_path, stored_bytes_per_token=1000) as small:
        headers = small.token("submit", name="alice") | {"Content-Length": str(5 * 1024**2)}
        boundary = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = small.client.post("/v1/models", headers=headers | boundary, content=iter([b"-"]))
        problem(answer, 403, "StorageLimitReached")


def test_workers_pass_over_an_owner_at_the_limit(database_url, tmp_path):
    with serve(database_url, tmp_path, parallel_trials_per_token=1) as service:
        service.searching_job(waiting=3, owner="alice")
        worker = service.token("work", name="worker")

        def claim(name):
            body = {"worker": factories.worker_info(name).model_dump(mode="json")}
            body["wait_seconds"] = 0
            return service.client.post("/v1/attempts", json=body, headers=worker).status_code

        assert [claim("a"), claim("b")] == [200, 204]
