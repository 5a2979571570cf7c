"""The client against the real service."""

from contextlib import closing

import numpy as np
import pytest

from compress.techniques.quantization.config import Quantization
from featherweight import errors
from featherweight.client import uploads
from featherweight.client.client import Client
from featherweight.client.transport import Transport, file_digest
from featherweight.specs.job import JobSpec
from featherweight.specs.jobs.candidates import CandidateRequest
from featherweight.specs.phases import Budget
from featherweight.specs.states import JobState
from store.attempts import workers
from store.session import open_database
from tests import factories
from tests.featherweight.proxy import cutting
from tests.running import PATIENT, call


@pytest.fixture
def dataset_file(tmp_path):
    path = tmp_path / "data.npz"
    images = np.random.default_rng(1).integers(0, 16, (600, 8, 8), dtype=np.uint8)
    np.savez(path, x_train=images, y_train=np.arange(600) % 5)
    return path


@pytest.fixture
def spec(client, dataset_file) -> JobSpec:
    client.upload_dataset(dataset_file, name="data")
    return factories.spec(data="data")


def test_a_submitted_job_is_the_same_for_the_same_key(client, spec):
    first = client.submit(spec, idempotency_key="one")
    assert client.submit(spec, idempotency_key="one").id == first.id
    assert client.submit(spec).id != first.id
    assert client.job(first.id).spec == spec
    with pytest.raises(errors.Conflict, match="IdempotencyConflict"):
        client.submit(factories.spec(data="data", seed=7), idempotency_key="one")


def test_a_job_may_be_a_plain_document(client, spec):
    document = spec.model_dump(mode="json") | {"constraints": ["size_bytes <= 64 kB"]}
    assert client.submit(document).spec.constraints[0].offset == 64_000


def test_jobs_are_listed_over_pages(client, spec):
    made = [client.submit(spec).id for _ in range(3)]
    listed = [job.id for job in client.jobs()]
    assert listed[:3] == made[::-1]
    assert len(set(listed)) == len(listed)
    assert {job.state for job in client.jobs(state="queued")} == {JobState.QUEUED}


def test_listings_of_an_owner_and_the_log_of_changes(client, spec):
    job = client.submit(spec)
    assert job.owner is None
    assert list(client.jobs(owner="alice")) == []
    assert list(client.models(owner="alice")) == list(client.datasets(owner="alice")) == []
    client.cancel(job.id)
    found = [(one.actor, one.action) for one in client.audit(kind="job", subject=job.id)]
    assert found == [(None, "cancelled"), (None, "created")]
    assert list(client.audit(actor="alice")) == []


def test_a_job_without_trials_has_an_empty_front_and_says_so(client, spec):
    job = client.submit(spec)
    assert list(client.trials(job.id)) == []
    front = client.front(job.id)
    assert (front.points, front.baseline) == ((), None)
    assert client.recommendation(job.id).point is None
    assert client.report(job.id).counts.total == 0


def test_a_dry_run_answers_with_the_space_and_makes_no_job(client, spec):
    before = len(list(client.jobs()))
    found = client.dry_run(spec)
    assert sum(found.trials.values()) == spec.budget.trials
    assert {knob.name for knob in found.space} >= {"filter_pruning.ratios.0"}
    assert len(list(client.jobs())) == before


def test_a_wrong_job_is_refused_with_the_reason(client, spec):
    with pytest.raises(errors.Invalid, match="colour"):
        client.submit(spec.model_dump(mode="json") | {"colour": "red"})
    with pytest.raises(errors.ApiError, match="nothing"):
        client.submit(factories.spec(data="nothing"))


def test_what_is_not_there_is_not_found(client):
    for call_it in (client.job, client.front, client.trial, client.why, client.dataset):
        with pytest.raises(errors.NotFound):
            call_it("00000000-0000-0000-0000-000000000000")


def test_a_job_is_paused_resumed_cancelled_and_cloned(client, spec):
    job = client.submit(spec)
    assert client.cancel(job.id).state in (JobState.STOPPING, JobState.CANCELLED)
    clone = client.clone(job.id, {"seed": 3})
    assert (clone.id != job.id, clone.spec.seed) == (True, 3)
    with pytest.raises(errors.Conflict):
        client.resume(clone.id)


def test_the_same_dataset_may_be_sent_twice_but_not_another_of_its_name(
    client, dataset_file, tmp_path
):
    first = client.upload_dataset(dataset_file, name="twice")
    assert client.upload_dataset(dataset_file, name="twice").id == first.id
    assert first.sha256 == file_digest(dataset_file)
    assert first.info.num_classes == 5
    other = tmp_path / "other.npz"
    np.savez(other, x_train=np.eye(8, dtype=np.uint8)[None].repeat(9, 0), y_train=np.arange(9) % 3)
    with pytest.raises(errors.Conflict, match="NameTaken"):
        client.upload_dataset(other, name="twice")


def test_a_file_that_is_no_dataset_is_refused(client, tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(errors.Invalid):
        client.upload_dataset(path, name="broken")
    with pytest.raises(errors.NotFound):
        client.dataset("broken")


def test_a_large_file_goes_in_parts_over_a_line_that_breaks(house, dataset_file):
    size = dataset_file.stat().st_size
    with (
        cutting(house.port, up=[9_000, 20_000, 5_000]) as proxy,
        closing(Transport(proxy.url, retry=PATIENT)) as transport,
    ):
        upload = uploads.resumable(transport, dataset_file, part_bytes=16_000, retry=PATIENT)
        assert upload.received == size
        assert proxy.connections > 3
        answer = uploads.send(
            transport,
            "/v1/datasets",
            dataset_file,
            spec={"name": "in-parts", "task": "image_classification"},
            one_request_bytes=1000,
        )
    assert file_digest(dataset_file).encode() in answer


def test_every_event_arrives_once_and_in_order_over_a_line_that_breaks(house, client, spec):
    job = client.submit(spec)
    client.cancel(job.id)
    # Nobody searches here: the events so far are all there are, and more come while we watch.
    written = client.job(job.id).last_event
    assert written >= 2
    with (
        cutting(house.port, down=[700, 900, 400, 1200]) as proxy,
        Client(proxy.url, retry=PATIENT) as broken,
    ):
        events = broken.watch(job.id)
        seen = [next(events).seq for _ in range(written)]
        events.close()
        assert seen == list(range(1, written + 1))
        assert proxy.connections > 1
        assert [next(broken.watch(job.id, after=1)).seq] == [2]


def test_watching_a_job_that_is_not_there_fails_at_once(client):
    with pytest.raises(errors.NotFound):
        next(client.watch("00000000-0000-0000-0000-000000000000"))


def test_workers_are_listed(client, house):
    assert "asks-for-work" not in {worker.name for worker in client.workers()}
    database = open_database(house.database_url, check_schema=False)
    with database.write() as session:
        workers.seen(session, factories.worker_info("asks-for-work"))
    database.dispose()
    assert "asks-for-work" in {worker.name for worker in client.workers()}


def test_without_any_token_everyone_on_this_machine_may_do_everything(client):
    assert list(client.tokens()) == []


def test_a_token_opens_what_its_scopes_say(house, sqlite_template, tmp_path):
    with pytest.raises(errors.Unauthorised), Client(house.url, "fw_wrong") as stranger:
        list(stranger.jobs())
    assert call("token", "list", "--json", **house.settings).stdout.strip() == "[]"


def test_candidates_are_proposed_and_listed_over_pages(client, spec):
    job = client.submit(spec.model_copy(update={"budget": Budget(trials=200)}))
    ratios = [number / 1000 for number in range(1, 121)]
    found = [
        {"steps": [{"technique": "filter_pruning", "ratios": [ratio, ratio]}]} for ratio in ratios
    ]
    first = client.propose(job.id, found[:60], idempotency_key="one")
    client.propose(job.id, found[60:])
    assert client.propose(job.id, found[:60], idempotency_key="one")[0].is_new is False
    assert all(one.is_new and one.state == "waiting" for one in first)
    listed = list(client.candidates(job.id))
    assert [one.number for one in listed] == list(range(120))
    assert [one.candidate_digest for one in listed[:60]] == [one.candidate_digest for one in first]
    with pytest.raises(errors.Conflict, match="IdempotencyConflict"):
        client.propose(job.id, found[:1], idempotency_key="one")
    with pytest.raises(errors.Invalid, match="2 stages"):
        client.propose(job.id, [{"steps": [{"technique": "filter_pruning", "ratios": [0.1]}]}])


def test_what_a_proposal_leaves_unsaid_is_as_in_the_job(client, spec):
    job = client.submit(spec)
    client.propose(job.id, [CandidateRequest(steps=(Quantization(weight_bits=4),))])
    [listed] = client.candidates(job.id)
    assert listed.candidate.steps == (Quantization(weight_bits=4, short_scales=True),)
