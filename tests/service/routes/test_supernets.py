"""Jobs whose members share weights, over HTTP: what is refused, shown and handed to workers."""

import pytest

from compress.network.supernet.config import Elastic
from compress.techniques.candidate import Candidate
from featherweight.specs.protocol import Assignment
from featherweight.specs.schemas import DryRunSchema
from featherweight.specs.states import Phase
from store.attempts import supernets
from store.jobs import jobs
from tests import factories
from tests.service.routes.test_worker_protocol import ONNX, say, send
from tests.service.running import claim, form, problem, sha256, spec, weights

WEIGHTS = weights()
DEEPER = factories.ARCHITECTURE.model_copy(update={"depths": (2, 2)})
READY = factories.SHARED | {"supernet": {"epochs": 0, "model": "shared"}}


def post(service, *, dry_run=False, **changes):
    query = "?dry_run=true" if dry_run else ""
    return service.client.post(f"/v1/jobs{query}", json=spec(**changes))


def test_a_supernet_that_was_not_uploaded_is_named(service):
    service.dataset()
    found = problem(post(service, **READY), 422, "UnknownModel")
    assert "supernet.model: no model has the id or name 'shared'" in found["detail"]
    assert service.client.get("/v1/jobs").json()["items"] == []


def test_a_supernet_of_another_architecture_is_refused_with_the_way_out(service):
    service.dataset()
    with service.database.write() as session:
        factories.model(session, "shared", architecture=DEEPER)
    found = problem(post(service, **READY), 422, "SupernetDoesNotFit")
    assert "'shared' has another architecture" in found["detail"]
    assert "the job's student" in found["detail"]
    fitting = post(service, **READY, student=DEEPER.model_dump(mode="json"))
    assert fitting.status_code == 201, fitting.text


def test_a_supernet_for_other_images_is_refused(service):
    service.dataset()
    with service.database.write() as session:
        factories.model(session, "shared", num_classes=7)
    found = problem(post(service, **READY), 422, "ModelDoesNotFitData")
    assert found["detail"].startswith("supernet.model: ")


def test_a_supernet_that_could_not_be_trained_is_refused(service):
    service.dataset()
    narrow = {"techniques": {"family_member": {"width": [0.25, 0.5]}}}
    found = problem(post(service, **(factories.SHARED | narrow)), 422, "SupernetDoesNotFit")
    assert "add 1 to its values" in found["detail"]


def test_images_that_a_student_would_divide_into_nothing_are_refused(service):
    service.dataset()
    student = {"family": "mobilenet_v2", "width": 0.25}
    found = problem(
        post(service, techniques={"family_member": {}}, student=student), 422, "ImagesTooSmall"
    )
    assert "student: the images of 'digits' are 8x8 pixels" in found["detail"]
    pooled = {"family": "vgg_bn", "widths": [8], "depths": [1], "pool": 7}
    model = {"architecture": pooled, "epochs": 1}
    found = problem(post(service, model=model), 422, "ImagesTooSmall")
    assert "cannot be averaged to 7x7" in found["detail"]


def measured_baseline(service):
    """Of the network that the specs name: 80 training images at 10 per second."""
    measured = factories.measurement(train_images_per_second=10.0, seconds={"measure": 2.0})
    with service.database.write() as session:
        job = factories.job(session, running=True)
        factories.baseline_trial(session, job)
        factories.deliver(session, factories.must_claim(session), measured=measured)


def test_seconds_that_are_too_few_for_an_epoch_of_the_supernet_are_refused(either_service):
    service = either_service
    measured_baseline(service)
    budget = {"trials": 7, "parallel_trials": 2, "seconds": 5}
    changes = factories.SHARED | {"budget": budget}
    found = problem(post(service, **changes), 422, "SupernetDoesNotFit")
    assert "one epoch takes about" in found["detail"]
    assert "5.0 s of budget.seconds are left" in found["detail"]
    enough = changes | {"budget": budget | {"seconds": 500}}
    assert post(service, **enough).status_code == 201


def test_a_dry_run_shows_the_supernets_trial_and_counts_its_time(service):
    measured_baseline(service)
    answer = post(service, dry_run=True, **factories.SHARED)
    found = DryRunSchema.model_validate(answer.json())
    assert found.trials == {"baseline": 1, "supernet": 1, "search": 4, "finish": 1}
    alone = post(service, dry_run=True, **(factories.SHARED | {"supernet": None}))
    without = DryRunSchema.model_validate(alone.json())
    assert without.trials == {"baseline": 1, "search": 5, "finish": 1}
    assert found.forecast.seconds is not None
    assert without.forecast.seconds is not None
    longer = factories.SHARED | {"supernet": {"epochs": 12}}
    more = DryRunSchema.model_validate(post(service, dry_run=True, **longer).json())
    assert more.forecast.seconds is not None
    # Ten more epochs of more than 8 s each, and six more checkpoints of 2 s.
    assert more.forecast.seconds > found.forecast.seconds + 10 * 8 + 6 * 2


def test_a_dry_run_lists_the_one_kind_of_weights_that_members_have(service):
    service.dataset()
    found = post(service, dry_run=True, **factories.SHARED).json()
    [knob] = [knob for knob in found["space"] if knob["name"] == "family_member.weights"]
    assert (knob["kind"], knob["choices"]) == ("fixed", ["supernet"])


def at_supernet(service):
    """Id of a job whose supernet waits to be trained."""
    with service.database.write() as session:
        job = factories.searching_job(session, waiting=0, **factories.SHARED)
        jobs.set_phase(session, job, Phase.SUPERNET)
        supernets.set_elastic(session, job, Elastic(widths=(0.5, 1.0)))
        largest = {"technique": "family_member", "weights": "supernet"}
        factories.trial(
            session,
            job,
            phase=Phase.SUPERNET,
            origin="supernet",
            candidate=Candidate.model_validate({"steps": [largest]}),
            rungs=(1, 2),
        )
        return job.id


def report(service, assignment, rung, *, roles=("onnx", "weights")):
    content = {"onnx": ONNX, "weights": WEIGHTS}
    for role in roles:
        send(service, assignment, content[role])
    files = [
        {"role": role, "sha256": sha256(content[role]), "size_bytes": len(content[role])}
        for role in roles
    ]
    measured = factories.measurement(0.8, len(ONNX)).model_dump(mode="json")
    body = {"rung": rung, "epochs": rung + 1, "measurement": measured, "files": files}
    return say(service, assignment, "reports", body)


def test_a_worker_trains_a_supernet_from_claim_to_its_last_checkpoint(either_service):
    service = either_service
    job = at_supernet(service)
    assignment = claim(service).json()
    assert Assignment.model_validate(assignment).supernet_task is not None
    first = report(service, assignment, 0).json()
    assert (first["stop"], "checkpoint" in first["reason"]) == (False, True)
    assert service.client.get(f"/v1/jobs/{job}").json()["supernet_sha256"] is None
    report(service, assignment, 1)
    found = service.client.get(f"/v1/jobs/{job}").json()
    assert (found["phase"], found["supernet_sha256"]) == ("supernet", sha256(WEIGHTS))
    trial = service.client.get(f"/v1/trials/{assignment['trial']}").json()
    assert (trial["phase"], trial["origin"], trial["state"]) == ("supernet", "supernet", "complete")


def test_a_checkpoint_without_weights_is_refused(service):
    at_supernet(service)
    assignment = claim(service).json()
    found = problem(report(service, assignment, 0, roles=("onnx",)), 409, "FileMismatch")
    assert "its weights at every rung" in found["detail"]


def test_files_of_a_supernet_are_no_points_of_the_front(either_service):
    service = either_service
    job = at_supernet(service)
    assignment = claim(service).json()
    for rung in range(2):
        report(service, assignment, rung)
    front = service.client.get(f"/v1/jobs/{job}/front").json()
    assert [point["number"] for point in front["points"]] == [0]
    best = service.client.get(f"/v1/jobs/{job}/recommendation").json()
    assert best["point"]["number"] == 0


def test_the_time_of_the_supernet_is_part_of_the_report(service):
    job = at_supernet(service)
    measured = factories.measurement(seconds={"train": 7.0})
    with service.database.write() as session:
        factories.deliver(session, factories.must_claim(session), measured=measured)
    assert service.client.get(f"/v1/jobs/{job}/report").json()["seconds"] == {"train": 7.0}


@pytest.mark.parametrize("epochs", [0, 3])
def test_weights_of_a_supernet_are_a_model_that_another_job_begins_with(service, epochs):
    service.dataset()
    job = at_supernet(service)
    assignment = claim(service).json()
    for rung in range(2):
        report(service, assignment, rung)
    [artifact] = [
        file
        for file in service.client.get(f"/v1/trials/{assignment['trial']}/artifacts").json()
        if (file["role"], file["rung"]) == ("weights", 1)
    ]
    kept = service.client.get(f"/v1/artifacts/{artifact['id']}").content
    assert kept == WEIGHTS
    fields = {
        "name": "shared",
        "architecture": factories.ARCHITECTURE.model_dump(mode="json"),
        "normalisation": factories.NORMALISATION.model_dump(mode="json"),
    }
    uploaded = service.client.post("/v1/models", **form(kept, **fields))
    assert uploaded.status_code == 201, uploaded.text
    made = service.submit(
        **(factories.SHARED | {"supernet": {"epochs": epochs, "model": "shared"}})
    )
    assert made["id"] != job
    assert made["supernet_sha256"] == (None if epochs else sha256(WEIGHTS))
    problem(service.client.delete("/v1/models/shared"), 409, "StillInUse")
