"""Full disks, lost files, broken workers: who asks learns whose fault it is, and nobody pays."""

import errno

import pytest

from featherweight.specs.states import TrialState
from store.access import tokens
from store.attempts import faults
from store.jobs import jobs
from store.trials import trials
from tests import factories
from tests.disks import small_disk
from tests.service.running import claim, form, npz, problem, serve, sha256, until

CONTENT = b"x" * 3_000_000
BROKEN = {"failure_class": "infrastructure", "message": "broken"}


def say(service, assignment, verb, body=None):
    path = f"/v1/attempts/{assignment['attempt']}/{verb}"
    headers = {"Fencing-Token": assignment["token"]}
    return service.client.post(path, json=body, headers=headers)


def send(service, assignment, content=CONTENT):
    path = f"/v1/attempts/{assignment['attempt']}/files/{sha256(content)}"
    headers = {"Fencing-Token": assignment["token"]}
    return service.client.put(path, content=content, headers=headers)


def lost(assignment, sha=None):
    file = sha or assignment["dataset"]
    return {"failure_class": "file_lost", "message": "the worker's words", "file": file}


@pytest.fixture
def small(sqlite_url, tmp_path):
    """A service whose files lie on a disk of 4 MiB, and the disk."""
    with (
        small_disk(tmp_path / "disk", mebibytes=4) as disk,
        serve(sqlite_url, disk.folder, min_free_bytes=1_000_000) as service,
    ):
        yield service, disk


def kept(service):
    return [
        path for path in service.files.folder.rglob("*") if path.is_file() and path.stat().st_size
    ]


def test_a_full_disk_is_a_507_that_names_no_path_and_leaves_nothing(small, caplog):
    service, disk = small
    service.searching_job()
    mine = claim(service).json()
    disk.fill()
    answer = send(service, mine)
    found = problem(answer, 507, "StorageFull")
    assert int(answer.headers["Retry-After"]) > 0
    assert str(service.files.folder) not in answer.text
    assert "its operator has to make room" in found["detail"]
    assert "No space left" in caplog.text
    assert kept(service) == []
    disk.make_room()
    assert send(service, mine).status_code == 201


def test_uploads_of_users_are_answered_alike(small):
    service, disk = small
    disk.fill()
    answer = service.client.post("/v1/datasets", **form(npz(), name="digits"))
    problem(answer, 507, "StorageFull")
    assert kept(service) == []
    disk.make_room()
    assert service.client.post("/v1/datasets", **form(npz(), name="digits")).status_code == 201


def test_a_read_only_disk_is_a_503(small):
    service, disk = small
    service.searching_job()
    mine = claim(service).json()
    disk.allow_writing(False)
    answer = send(service, mine)
    problem(answer, 503, "StorageUnavailable")
    assert answer.headers["Retry-After"]
    disk.allow_writing(True)
    assert send(service, mine).status_code == 201


def test_readiness_writes_and_knows_the_free_bytes(small):
    service, disk = small
    found = service.client.get("/readyz").json()
    assert found["dependencies"]["files"] == "ok"
    assert 1_000_000 < found["free_bytes"] <= 4 << 20
    # It is looked at once a second.
    disk.fill(leave_bytes=500_000)
    until(lambda: service.client.get("/readyz").status_code == 503)
    scarce = service.client.get("/readyz").json()
    assert scarce["dependencies"]["files"] == "failed"
    assert 0 < scarce["free_bytes"] < 1_000_000
    disk.fill()
    until(lambda: service.client.get("/readyz").json()["free_bytes"] is None)
    assert service.client.get("/readyz").json()["dependencies"]["files"] == "failed"
    disk.make_room()
    until(lambda: service.client.get("/readyz").json()["dependencies"]["files"] == "ok")


@pytest.mark.parametrize(
    ("number", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EIO, 503)]
)
def test_an_error_of_the_disk_while_reading_is_no_mistake_of_ours(service, number, status):
    """The system's own error, as a disk gives it that cannot be had in a test."""

    def read() -> None:
        raise OSError(number, "the disk", "/secret/path")

    service.client.app.add_api_route("/read", read)
    answer = service.client.get("/read")
    assert answer.status_code == status
    assert "/secret/path" not in answer.text


def test_a_lost_file_pauses_its_job_until_it_is_back(either_service):
    service = either_service
    job = service.searching_job()
    mine = claim(service).json()
    assert say(service, mine, "fail", lost(mine)).json()["state"] == "waiting"
    found = service.client.get(f"/v1/jobs/{job}").json()
    assert (found["state"], found["pause_reason"]) == ("paused", "file_lost")
    for words in ("the dataset 'digits'", mine["dataset"], "gone from the store"):
        assert words in found["stop_detail"]
    assert claim(service).status_code == 204
    refused = problem(service.client.post(f"/v1/jobs/{job}/resume"), 409, "FileStillLost")
    assert mine["dataset"] in refused["detail"]
    # The factories' dataset is these bytes.
    stored = service.files.put([b"dataset digits"], limit=100)
    assert stored.sha256 == mine["dataset"]
    resumed = service.client.post(f"/v1/jobs/{job}/resume").json()
    assert (resumed["state"], resumed["pause_reason"], resumed["stop_detail"]) == (
        "running",
        None,
        "",
    )
    assert claim(service).json()["trial"] == mine["trial"]
    with service.database.read() as session:
        assert trials.get(session, mine["trial"]).failures == {}


def test_a_corrupt_file_is_told_from_one_that_is_gone(service):
    job = service.searching_job()
    mine = claim(service).json()
    service.files.put([b"dataset digits"], limit=100)
    service.files.path(mine["dataset"]).write_bytes(b"dataset digit?")
    say(service, mine, "fail", lost(mine))
    assert "is corrupt in the store" in service.client.get(f"/v1/jobs/{job}").json()["stop_detail"]


def test_a_file_that_is_whole_is_not_the_stores_fault(service):
    job = service.searching_job()
    mine = claim(service).json()
    service.files.put([b"dataset digits"], limit=100)
    assert say(service, mine, "fail", lost(mine)).json()["state"] == "waiting"
    assert service.client.get(f"/v1/jobs/{job}").json()["state"] == "running"
    with service.database.read() as session:
        assert trials.get(session, mine["trial"]).failures == {"infrastructure": 1}


def test_a_worker_cannot_pause_a_job_for_any_file(service):
    job = service.searching_job()
    mine = claim(service).json()
    problem(say(service, mine, "fail", lost(mine, "0" * 64)), 409, "FileMismatch")
    stranger = mine | {"token": "of-somebody-else"}
    problem(say(service, stranger, "fail", lost(mine)), 409, "StaleAttempt")
    nameless = {"failure_class": "file_lost", "message": "some file"}
    assert say(service, mine, "fail", nameless).json()["state"] == "waiting"
    again = claim(service).json()
    say(service, again, "fail", BROKEN | {"file": again["dataset"]})
    assert service.client.get(f"/v1/jobs/{job}").json()["state"] == "running"
    with service.database.read() as session:
        assert trials.get(session, mine["trial"]).failures == {"infrastructure": 2}


def test_a_worker_that_fails_again_and_again_gets_nothing_for_a_while(either_service):
    service = either_service
    service.searching_job()
    for _ in range(faults.PATIENCE):
        assert say(service, claim(service, "broken").json(), "fail", BROKEN).status_code == 200
    assert claim(service, "broken").status_code == 204
    shown = {worker["name"]: worker for worker in service.client.get("/v1/workers").json()["items"]}
    assert "broken" in shown["broken"]["set_aside_reason"]
    assert shown["broken"]["set_aside_until"] > shown["broken"]["last_seen"]
    assert shown["baseline-worker"]["set_aside_until"] is None
    assert claim(service, "healthy").status_code == 200


def test_a_job_of_which_trials_failed_says_how_many_and_how(service):
    job = service.searching_job(waiting=3)
    for kind in ("bug", "bug", "numerical"):
        say(service, claim(service).json(), "fail", {"failure_class": kind, "message": "no"})
    warnings = service.client.get(f"/v1/jobs/{job}").json()["warnings"]
    assert warnings[0] == "3 of 4 trials failed: 2 bug, 1 numerical"


def test_a_worker_with_a_token_of_our_own_works_on_after_the_first_token_was_made(service):
    service.searching_job(waiting=2)
    with service.database.write() as session:
        tokens.renew_own(session, name="up-1-worker", scopes=["work"], secret="fw_own" * 9)
    assert service.client.get("/v1/jobs").status_code == 200  # the loopback is open
    own = {"Authorization": f"Bearer {'fw_own' * 9}"}
    worker = factories.worker_info("own").model_dump(mode="json")
    body = {"worker": worker, "wait_seconds": 0}
    mine = service.client.post("/v1/attempts", json=body, headers=own).json()
    service.token("admin")
    problem(service.client.get("/v1/jobs"), 401, "NotAuthenticated")
    path = f"/v1/attempts/{mine['attempt']}/heartbeat"
    beat = service.client.post(path, json={}, headers=own | {"Fencing-Token": mine["token"]})
    assert beat.status_code == 200
    assert service.client.get("/v1/jobs", headers=own).status_code == 403  # it may only work


def test_no_trial_is_spent_while_a_file_is_lost(service):
    job = service.searching_job(waiting=3, budget={"trials": 6, "parallel_trials": 3})
    held = [claim(service, name).json() for name in ("one", "two", "three")]
    for mine in held:
        say(service, mine, "fail", lost(mine))
    with service.database.read() as session:
        assert jobs.get(session, job).counts.get(TrialState.FAILED, 0) == 0
        assert jobs.get(session, job).counts[TrialState.WAITING] == 3
