"""Jobs over HTTP: submit once, look, steer, and see what they found."""

import json

from compress.tasks.inspection import DatasetInfo
from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import DryRunSchema, JobSchema
from featherweight.specs.states import JobState
from service.intake import submission
from store.jobs import jobs
from tests import factories
from tests.service.running import problem, spec


def test_a_job_is_made_once_however_often_it_is_sent(either_service):
    service = either_service
    service.dataset()
    headers = {"Idempotency-Key": "key-1"}
    first = service.client.post("/v1/jobs", json=spec(), headers=headers)
    again = service.client.post("/v1/jobs", json=spec(), headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.headers["Location"] == f"/v1/jobs/{first.json()['id']}"
    assert len(service.client.get("/v1/jobs").json()["items"]) == 1


def test_the_same_job_in_other_words_is_the_same_body(service):
    service.dataset()
    headers = {"Idempotency-Key": "key-1"}
    short = spec(objectives=["maximise accuracy", "minimise size_bytes"])
    short = dict(reversed(short.items()))
    first = service.client.post("/v1/jobs", json=spec(), headers=headers)
    again = service.client.post("/v1/jobs", json=short, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)


def test_a_key_given_before_there_were_teachers_and_supernets_means_the_same_body():
    before = "d039a8ec1523ccdc9431e2a01827032f060b88b276c4afd6a5bd67472a4779fa"
    assert submission.digest(factories.spec()) == before
    early = {"rungs": [0, 1], "eta": 3, "tie_break": "net"}
    for changes in (
        {"early_stopping": early},
        {"stop": {"no_gain": {"trials": 9}}},
        {"recovery": {"learning_rate": 0.1}},
        {"recovery": {"augment": "by_channels"}},
        {"model": factories.UNTRAINED.model_dump() | {"augment": "none"}},
    ):
        assert submission.digest(factories.spec(**changes)) != before
    taught = {"techniques": factories.TAUGHT}
    one, other = (factories.spec(**taught, teacher=name) for name in ("one", "other"))
    assert submission.digest(one) != submission.digest(other)


def test_a_job_remembers_its_teacher_and_keeps_it_from_being_deleted(either_service):
    service = either_service
    service.dataset()
    with service.database.write() as session:
        teacher = factories.model(session, "large")
    made = service.submit(techniques=factories.TAUGHT, teacher="large")
    assert made["spec"]["teacher"] == "large"
    with service.database.read() as session:
        assert jobs.get(session, made["id"]).teacher_id == teacher.id
    found = problem(service.client.delete("/v1/models/large"), 409, "StillInUse")
    assert made["id"] in found["detail"]


def test_without_a_key_every_request_is_a_job_of_its_own(service):
    service.dataset()
    assert service.submit()["id"] != service.submit()["id"]


def test_a_dry_run_says_what_would_happen_and_does_nothing(service):
    service.dataset()
    answer = service.client.post(
        "/v1/jobs?dry_run=true", json=spec(constraints=["size_bytes <= 1 MB"])
    )
    assert answer.status_code == 200
    found = DryRunSchema.model_validate(answer.json())
    assert [knob.name for knob in found.space][:2] == [
        "filter_pruning.ratios.0",
        "filter_pruning.ratios.1",
    ]
    data = service.client.get("/v1/datasets/digits").json()["info"]
    assert found.data == DatasetInfo.model_validate(data)
    assert found.fit == (
        "the model is built for images of 1 channel, 8x8 pixels and 2 classes; its normalisation "
        "is measured on the training images"
    )
    assert found.candidates == 128
    assert found.sampler.startswith("tpe")
    assert found.trials == {"baseline": 1, "search": 4, "finish": 1}
    assert "size_bytes <= 1 MB" in found.feasibility[0]
    assert found.forecast.seconds is None
    assert service.client.get("/v1/jobs").json()["items"] == []


def test_a_dry_run_forecasts_from_the_measured_baseline_of_the_same_network(either_service):
    service = either_service
    measured = factories.measurement(train_images_per_second=100.0, seconds={"measure": 2.0})
    with service.database.write() as session:
        job = factories.job(session, running=True)
        factories.baseline_trial(session, job)
        factories.deliver(session, factories.must_claim(session), measured=measured)
    answer = service.client.post("/v1/jobs?dry_run=true", json=spec()).json()
    assert answer["forecast"]["seconds"] > 0
    other = spec(model={"architecture": {"widths": [8], "depths": [1]}, "epochs": 2})
    answer = service.client.post("/v1/jobs?dry_run=true", json=other).json()
    assert answer["forecast"]["seconds"] is None


def test_a_dry_run_shows_the_trial_that_probes_and_the_knobs_that_allot(service):
    service.dataset()
    asked = spec(profile={}, budget={"trials": 8, "parallel_trials": 2})
    answer = service.client.post("/v1/jobs?dry_run=true", json=asked)
    found = DryRunSchema.model_validate(answer.json())
    assert found.trials == {"baseline": 1, "profile": 1, "search": 5, "finish": 1}
    assert [knob.name for knob in found.space][:3] == [
        "allocation.bytes",
        "allocation.pruning",
        "allocation.sharpness",
    ]
    assert found.candidates is None
    refused = service.client.post(
        "/v1/jobs", json=spec(profile={}, techniques={"quantization": {"weight_bits": 8}})
    )
    assert "there is nothing to allocate" in problem(refused, 422, "InvalidSpace")["detail"]


def test_a_space_that_cannot_be_counted_has_no_number_of_candidates(service):
    service.dataset()
    techniques = {"distillation": {"weight": {"low": 0.1, "high": 0.9}}}
    answer = service.client.post("/v1/jobs?dry_run=true", json=spec(techniques=techniques))
    assert answer.json()["candidates"] is None


def test_jobs_are_listed_newest_first_page_by_page(either_service):
    service = either_service
    service.dataset()
    made = [service.submit(name=f"job-{number}")["id"] for number in range(5)]
    found, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = service.client.get("/v1/jobs", params=params).json()
        found += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == made[::-1]
    assert service.client.get("/v1/jobs?state=running").json()["items"] == []
    assert len(service.client.get("/v1/jobs?state=queued").json()["items"]) == 5
    problem(service.client.get("/v1/jobs?state=odd"), 422, "RequestValidationError")


def test_jobs_are_found_by_name_and_beginning_of_id_and_trials_by_number(either_service):
    service = either_service
    service.dataset()
    first, other = service.submit(name="Größe 42")["id"], service.submit(name="b")["id"]

    def found(**params):
        answer = service.client.get("/v1/jobs", params=params)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["items"]]

    assert found(name="Größe 42") == found(name=" Gro\u0308ße 42") == [first]
    assert found(name="größe 42") == []
    assert found(id=first[:30]) == found(id=first) == [first]
    assert found(id=other[:30], name="b") == [other]
    assert found(id=first[:30], name="b") == []
    for wrong in ({"id": "%"}, {"id": "G"}, {"id": ""}, {"name": "a\nb"}, {"name": "x" * 101}):
        answer = service.client.get("/v1/jobs", params=wrong)
        problem(answer, 422, "RequestValidationError")
    job = service.searching_job()
    [trial] = service.client.get(f"/v1/jobs/{job}/trials?number=1").json()["items"]
    assert trial["number"] == 1
    assert service.client.get(f"/v1/jobs/{job}/trials?number=99").json()["items"] == []
    for wrong in ("-1", "2147483648", "x"):
        answer = service.client.get(f"/v1/jobs/{job}/trials?number={wrong}")
        problem(answer, 422, "RequestValidationError")


def test_a_job_pauses_resumes_and_is_cancelled_for_good(either_service):
    service = either_service
    job = service.searching_job(waiting=2)
    path = f"/v1/jobs/{job}"
    assert service.client.post(f"{path}/pause").json()["state"] == "paused"
    assert service.client.post(f"{path}/pause").json()["state"] == "paused"
    assert service.client.post(f"{path}/resume").json()["state"] == "running"
    cancelled = service.client.post(f"{path}/cancel").json()
    assert (cancelled["state"], cancelled["stop_reason"]) == ("stopping", "cancelled")
    assert cancelled["trials"]["stopped"] == 2
    assert service.client.post(f"{path}/cancel").status_code == 200
    with service.database.write() as session:
        jobs.move(session, jobs.lock(session, job), JobState.CANCELLED)
    problem(service.client.post(f"{path}/cancel"), 409, "IllegalTransition")
    problem(service.client.post(f"{path}/resume"), 409, "IllegalTransition")


def test_a_clone_is_the_same_job_with_other_words_in_some_places(service):
    service.dataset()
    first = service.submit(name="first", seed=3)
    answer = service.client.post(f"/v1/jobs/{first['id']}/clone", json={"name": "second"})
    assert answer.status_code == 201
    clone = answer.json()
    assert clone["id"] != first["id"]
    assert clone["spec"] == first["spec"] | {"name": "second"}
    wrong = service.client.post(f"/v1/jobs/{first['id']}/clone", json={"seed": -1})
    assert problem(wrong, 422, "RequestValidationError")["errors"][0]["loc"] == [
        "body",
        "seed",
    ]
    problem(service.client.post("/v1/jobs/none/clone", json={}), 404, "JobNotFound")


def test_a_clone_of_a_job_from_before_a_field_means_what_that_job_meant(service):
    service.dataset()
    first = service.submit(name="first")
    with service.database.write() as session:
        job = jobs.get(session, first["id"])
        job.spec = {**job.spec, "recovery": {"learning_rate": 0.1}}
    shown = service.client.get(f"/v1/jobs/{first['id']}").json()["spec"]["recovery"]
    answer = service.client.post(f"/v1/jobs/{first['id']}/clone", json={"name": "second"})
    clone = answer.json()["spec"]["recovery"]
    assert clone == shown
    assert (clone["augment"], clone["learning_rate"]) == ("by_channels", 0.1)
    changes = {"name": "third", "recovery": {"learning_rate": 0.1}}
    answer = service.client.post(f"/v1/jobs/{first['id']}/clone", json=changes)
    assert answer.json()["spec"]["recovery"]["augment"] == "auto"


def test_trials_are_listed_by_number(either_service):
    service = either_service
    job = service.searching_job(waiting=3)
    page = service.client.get(f"/v1/jobs/{job}/trials?limit=3").json()
    assert [trial["number"] for trial in page["items"]] == [0, 1, 2]
    rest = service.client.get(f"/v1/jobs/{job}/trials?limit=3&cursor={page['next_cursor']}").json()
    assert [trial["number"] for trial in rest["items"]] == [3]
    waiting = service.client.get(f"/v1/jobs/{job}/trials?state=waiting").json()["items"]
    assert len(waiting) == 3


def test_epochs_that_let_no_trial_train_are_refused(service):
    service.dataset()
    changes = {"budget": {"trials": 6, "epochs": 2}, "early_stopping": {"rungs": [0, 3, 9]}}
    found = problem(
        service.client.post("/v1/jobs", json=spec(**changes)), 422, "RequestValidationError"
    )
    assert "budget.epochs of 2 lets no search trial train" in found["detail"]
    assert "takes 3" in found["detail"]


def test_a_target_that_nothing_can_meet_is_refused(service):
    service.dataset()
    asked = {"target": ["accuracy >= 0.9", "size_bytes <= 20 B"]}
    found = problem(
        service.client.post("/v1/jobs", json=spec(stop=asked)), 422, "InfeasibleConstraint"
    )
    assert "size_bytes <= 20 B allows" in found["detail"]
    against = {"target": ["size_bytes >= 90 kB"]}
    answer = service.client.post(
        "/v1/jobs", json=spec(stop=against, constraints=["size_bytes <= 64 kB"])
    )
    assert "contradict each other" in problem(answer, 422, "InfeasibleConstraint")["detail"]


def test_a_job_answers_in_the_shape_of_its_schema(service):
    service.dataset()
    made = service.submit()
    assert JobSchema.model_validate(made).spec == JobSpec.model_validate(spec())
    schema = service.client.get("/v1/schemas/job").json()
    assert schema == json.loads(json.dumps(JobSpec.model_json_schema()))


def test_the_examples_are_jobs(service):
    operation = service.client.get("/openapi.json").json()["paths"]["/v1/jobs"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["schema"]["examples"]
    taught = [JobSpec.model_validate(example).teacher for example in examples]
    assert taught == [None, "large"]


SLACK = "accuracy >= baseline - 1: every candidate meets it"


def test_a_bound_that_keeps_nothing_out_is_named_wherever_the_job_is_shown(service):
    service.dataset()
    asked = spec(constraints=["accuracy >= baseline - 1"])
    dry = service.client.post("/v1/jobs?dry_run=true", json=asked).json()
    made = service.client.post("/v1/jobs", json=asked).json()
    shown = service.client.get(f"/v1/jobs/{made['id']}").json()
    for found in (dry, made, shown):
        assert [warning.startswith(SLACK) for warning in found["warnings"]] == [True]
    report = service.client.get(f"/v1/jobs/{made['id']}/report").json()
    assert any(note.startswith(SLACK) for note in report["notes"])
    assert service.submit()["warnings"] == []


def test_what_nothing_can_meet_is_refused_in_words(service):
    service.dataset()
    for constraint, words in {
        "accuracy >= 98": "'98 %'",
        "accuracy >= baseline + 1": "the highest possible is 1",
        "size_bytes >= 64 MB": "write 'size_bytes <= ...'",
    }.items():
        answer = service.client.post("/v1/jobs", json=spec(constraints=[constraint]))
        assert words in problem(answer, 422, "InfeasibleConstraint")["detail"]


def test_a_stored_job_with_a_bound_that_would_be_refused_today_is_shown(service):
    with service.database.write() as session:
        job_id = factories.job(session, constraints=["size_bytes >= 64 MB"]).id
    found = service.client.get(f"/v1/jobs/{job_id}").json()
    assert found["warnings"][0].startswith("nothing can meet the constraints")
    assert service.client.get(f"/v1/jobs/{job_id}/report").status_code == 200


def test_the_forecast_of_an_uploaded_model_begins_with_its_first_trial(either_service):
    service = either_service
    timed = factories.measurement(seconds={"train": 8.0, "measure": 1.0})
    with service.database.write() as session:
        dataset = factories.dataset(session)
        job_id = factories.searching_job(
            session, model=factories.model(session), dataset=dataset, waiting=2
        ).id
    before = service.client.get(f"/v1/jobs/{job_id}").json()["forecast"]
    assert before["seconds"] is None
    assert "until the first search trial has trained" in before["basis"]
    assert before["search_epochs"] > 0
    asked = spec(model="network")
    dry = service.client.post("/v1/jobs?dry_run=true", json=asked).json()["forecast"]
    assert dry["seconds"] is None

    with service.database.write() as session:
        factories.deliver(session, factories.must_claim(session), measured=timed)
    after = service.client.get(f"/v1/jobs/{job_id}").json()["forecast"]
    assert after["remaining_seconds"] > 8
    assert after["seconds"] >= after["remaining_seconds"]
    dry = service.client.post("/v1/jobs?dry_run=true", json=asked).json()["forecast"]
    assert dry["seconds"] > 8


def test_a_job_that_is_over_has_nothing_left_and_a_listing_forecasts_nothing(service):
    service.dataset()
    made = service.submit()
    assert made["forecast"] is None
    assert service.client.get("/v1/jobs").json()["items"][0]["forecast"] is None
    assert service.client.get(f"/v1/jobs/{made['id']}").json()["forecast"]["seconds"] is None
    with service.database.write() as session:
        jobs.move(session, jobs.cancel(session, made["id"]), JobState.CANCELLED)
    over = service.client.get(f"/v1/jobs/{made['id']}").json()["forecast"]
    assert (over["remaining_seconds"], over["basis"]) == (0, "the job is over")
