"""Downloads: whole, in part, verified, and never as a page."""

import base64
import hashlib
from typing import Any

import pytest

from featherweight.specs.manifest import Manifest
from featherweight.specs.protocol import Report
from featherweight.specs.states import Phase
from store.attempts import attempts
from store.jobs import jobs
from store.trials import trials
from tests import factories
from tests.service.delivering import CONTENT, DIGEST, delivered, kept
from tests.service.running import problem


@pytest.fixture
def artifacts(service) -> dict[str, Any]:
    """Artifacts by role of a trial whose worker sent a file and its manifest."""
    return delivered(service)


def test_a_file_comes_whole_with_its_digest(service, artifacts):
    answer = service.client.get(f"/v1/artifacts/{artifacts['onnx']['id']}")
    assert answer.content == CONTENT
    assert answer.headers["ETag"] == f'"{DIGEST}"'
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.headers["Content-Disposition"].endswith('.onnx"')
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=1000-", 1000, 1024),
        ("bytes=1000-99999", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=-99999", 0, 1024),
    ],
)
def test_a_range_comes_alone(service, artifacts, asked, start, end):
    path = f"/v1/artifacts/{artifacts['onnx']['id']}"
    answer = service.client.get(path, headers={"Range": asked})
    assert answer.content == CONTENT[start:end]
    assert answer.headers["Content-Length"] == str(end - start)
    is_whole = end - start == len(CONTENT)
    assert answer.status_code == (200 if is_whole else 206)
    assert answer.headers.get("Content-Range") == (
        None if is_whole else f"bytes {start}-{end - 1}/1024"
    )


def test_a_range_that_is_none_is_left_out(service, artifacts):
    path = f"/v1/artifacts/{artifacts['onnx']['id']}"
    for asked in ("bytes=5-2", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=x-y"):
        answer = service.client.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_range_after_the_end_is_refused_with_the_length(service, artifacts):
    path = f"/v1/artifacts/{artifacts['onnx']['id']}"
    for asked in ("bytes=1024-", "bytes=-0"):
        answer = service.client.get(path, headers={"Range": asked})
        problem(answer, 416, "RangeNotSatisfiable")
        assert answer.headers["Content-Range"] == "bytes */1024"


def test_a_range_of_another_version_is_the_whole_file(service, artifacts):
    path = f"/v1/artifacts/{artifacts['onnx']['id']}"
    headers = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert service.client.get(path, headers=headers).status_code == 200
    headers = {"Range": "bytes=0-1", "If-Range": f'"{DIGEST}"'}
    assert service.client.get(path, headers=headers).status_code == 206


def test_whoever_has_the_file_is_not_sent_it_again(service, artifacts):
    path = f"/v1/artifacts/{artifacts['onnx']['id']}"
    answer = service.client.get(path, headers={"If-None-Match": f'"x", "{DIGEST}"'})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == f'"{DIGEST}"'


def test_the_head_of_a_file_is_its_answer_without_the_bytes(service, artifacts):
    path = f"/v1/artifacts/{artifacts['onnx']['id']}"
    answer = service.client.head(path)
    assert (answer.content, answer.headers["Content-Length"]) == (b"", "1024")
    assert answer.headers["ETag"] == f'"{DIGEST}"'


def test_a_file_that_has_changed_on_disk_is_never_sent(service, artifacts):
    service.files.path(DIGEST).write_bytes(b"other bytes")
    answer = service.client.get(f"/v1/artifacts/{artifacts['onnx']['id']}")
    problem(answer, 500, "FileCorrupt")


def test_the_manifest_says_how_the_file_came_to_be(service, artifacts):
    for role in ("onnx", "manifest"):
        answer = service.client.get(f"/v1/artifacts/{artifacts[role]['id']}/manifest")
        assert answer.status_code == 200, answer.text
        found = Manifest.model_validate(answer.json())
        assert found.file_sha256 == DIGEST


def test_the_manifest_has_what_was_measured_on_test_later_and_its_bytes_stay(service, artifacts):
    address = f"/v1/artifacts/{artifacts['onnx']['id']}/manifest"
    before = service.client.get(address).json()
    with service.database.write() as session:
        job = jobs.lock(session, artifacts["onnx"]["job"])
        trials.stop_waiting(session, job, "test")
        changes = {"origin": trials.EVALUATION, "rungs": (0,), "files": [DIGEST]}
        factories.trial(session, job, phase=Phase.TEST, **changes)
        mine = factories.must_claim(session, "another")
        what = factories.evaluation_report(mine, test_accuracy=0.75)
        attempts.report(session, mine.attempt, mine.token, what, decide=factories.climb)
    after = service.client.get(address).json()
    assert "test" not in before["measurement"]["accuracy"]
    assert after["measurement"]["accuracy"] == {"validation": 0.95, "test": 0.75}
    before["measurement"]["accuracy"] = after["measurement"]["accuracy"]
    assert after == before
    stored = service.client.get(f"/v1/artifacts/{artifacts['manifest']['id']}").content
    assert hashlib.sha256(stored).hexdigest() == artifacts["manifest"]["sha256"]


def test_a_manifest_that_is_none_is_not_found(service):
    job = service.searching_job(waiting=0)
    trial = service.client.get(f"/v1/jobs/{job}/trials").json()["items"][0]
    [file, *_] = service.client.get(f"/v1/trials/{trial['id']}/artifacts").json()
    answer = service.client.get(f"/v1/artifacts/{file['id']}/manifest")
    problem(answer, 404, "ArtifactNotFound")


def test_a_manifest_that_cannot_be_read_is_not_found_either(service):
    job = service.searching_job()
    measured = factories.measurement(size_bytes=len(CONTENT))
    with service.database.write() as session:
        assignment = factories.must_claim(session)
        refs = [
            kept(service, session, "onnx", CONTENT),
            kept(service, session, "manifest", b"\xff"),
        ]
        report = Report(rung=0, epochs=0, measurement=measured, files=tuple(refs))
        attempts.report(
            session, assignment.attempt, assignment.token, report, decide=factories.climb
        )
    assert assignment.job == job
    [file, *_] = service.client.get(f"/v1/trials/{assignment.trial}/artifacts").json()
    problem(service.client.get(f"/v1/artifacts/{file['id']}/manifest"), 404, "ArtifactNotFound")


def test_the_front_leads_to_files_that_can_be_downloaded(service, artifacts):
    job = artifacts["onnx"]["job"]
    front = service.client.get(f"/v1/jobs/{job}/front").json()
    [point] = [point for point in front["points"] if point["sha256"] == DIGEST]
    assert service.client.get(point["url"]).content == CONTENT
    assert service.client.get(point["manifest_url"]).json()["file_sha256"] == DIGEST
