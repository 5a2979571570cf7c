"""Every kind of bad input gets a clear problem, and leaves nothing behind."""

import json

import pytest

from featherweight.documents import MAX_BYTES as MAX_DOCUMENT_BYTES
from tests import factories
from tests.service.running import claim, problem, spec


def num_jobs(service) -> int:
    return len(service.client.get("/v1/jobs").json()["items"])


def post(service, **changes):
    return service.client.post("/v1/jobs", json=spec(**changes))


def test_an_unknown_field_is_named_with_its_place(service):
    service.dataset()
    found = problem(post(service, budgett={}), 422, "RequestValidationError")
    assert found["errors"] == [
        {
            "loc": ["body", "budgett"],
            "msg": "Extra inputs are not permitted",
            "type": "extra_forbidden",
        }
    ]
    assert "budgett" in found["detail"]
    assert num_jobs(service) == 0


def test_a_range_outside_the_limits_of_a_technique_names_technique_knob_and_value(service):
    service.dataset()
    techniques = {"filter_pruning": {"ratios": {"low": 0.5, "high": 2.0}}}
    found = problem(post(service, techniques=techniques), 422, "InvalidSpace")
    for part in ("filter_pruning", "ratios", "2.0", "0.95"):
        assert part in found["detail"]
    assert num_jobs(service) == 0


def test_a_technique_that_could_do_nothing_is_refused_with_the_way_out(service):
    service.dataset()
    techniques = {"filter_pruning": {"scope": ["global"]}, "quantization": {}}
    found = problem(post(service, techniques=techniques), 422, "InvalidSpace")
    assert "give ratio other values than 0.0, or leave filter_pruning out" in found["detail"]
    assert num_jobs(service) == 0


def test_an_unknown_technique_or_knob_names_the_known_ones(service):
    service.dataset()
    found = problem(post(service, techniques={"magic": {}}), 422, "RequestValidationError")
    assert "filter_pruning" in found["detail"]
    knob = problem(
        post(service, techniques={"quantization": {"bits": [8]}}), 422, "RequestValidationError"
    )
    assert "weight_bits" in knob["detail"]


def test_a_constraint_that_nothing_can_meet_is_refused(service):
    service.dataset()
    for constraint in ("accuracy >= 101 %", "size_bytes <= 10 B"):
        found = problem(post(service, constraints=[constraint]), 422, "InfeasibleConstraint")
        assert constraint in found["detail"]
    assert num_jobs(service) == 0


def test_a_constraint_that_cannot_be_read_says_how_to_write_one(service):
    service.dataset()
    found = problem(
        post(service, constraints=["as small as you can"]), 422, "RequestValidationError"
    )
    assert "METRIC <= VALUE" in found["detail"]


def test_a_technique_that_does_not_fit_the_model_is_refused(service):
    service.dataset()
    answer = post(service, techniques={"family_member": {"depth": [7]}})
    found = problem(answer, 422, "TechniqueDoesNotFit")
    assert "family_member.depth" in found["detail"]


def test_a_pattern_without_a_layer_is_refused_before_the_job_exists(service):
    service.dataset()
    for path in ("/v1/jobs", "/v1/jobs?dry_run=true"):
        body = spec(techniques={"quantization": {"exclude": "layer7.*"}})
        found = problem(service.client.post(path, json=body), 422, "TechniqueDoesNotFit")
        assert "'layer7.*'" in found["detail"]
        assert "layer1.0.conv1" in found["detail"]
    assert num_jobs(service) == 0


def test_an_unknown_dataset_or_model_is_named(service):
    missing = problem(post(service, data="nowhere"), 422, "UnknownDataset")
    assert "nowhere" in missing["detail"]
    service.dataset()
    assert "none" in problem(post(service, model="none"), 422, "UnknownModel")["detail"]


def test_a_model_that_does_not_fit_the_data_is_refused(service):
    with service.database.write() as session:
        factories.dataset(session, num_classes=3)
        factories.model(session)
    found = problem(post(service, model="network"), 422, "ModelDoesNotFitData")
    assert "2 classes" in found["detail"]
    assert "3" in found["detail"]


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_teacher_that_is_unknown_or_does_not_fit_the_data_is_refused(service, query):
    with service.database.write() as session:
        factories.dataset(session)
        factories.model(session, "coloured", in_channels=3)

    def refusal(teacher, code):
        job = spec(techniques=factories.TAUGHT, teacher=teacher)
        return problem(service.client.post(f"/v1/jobs{query}", json=job), 422, code)["detail"]

    assert refusal("none", "UnknownModel").startswith("teacher: no model has the id or name 'none'")
    assert "teacher: 'coloured' takes 3 channels" in refusal("coloured", "ModelDoesNotFitData")
    assert num_jobs(service) == 0


def test_an_uploaded_teacher_and_the_wish_for_one_need_each_other(service):
    service.dataset()
    alone = problem(post(service, techniques=factories.TAUGHT), 422, "RequestValidationError")
    assert "name an uploaded model as the job's teacher" in alone["detail"]
    unheard = problem(post(service, teacher="large"), 422, "RequestValidationError")
    assert "put 'uploaded' among techniques.distillation.teacher" in unheard["detail"]
    assert num_jobs(service) == 0


def test_a_normalisation_of_other_channels_than_the_data_is_refused(service):
    service.dataset()
    model = spec()["model"] | {"normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]}}
    assert "3 channels" in problem(post(service, model=model), 422, "ModelDoesNotFitData")["detail"]


def test_a_body_over_the_limit_is_refused_by_its_announced_length(service):
    body = json.dumps(spec(name="x" * MAX_DOCUMENT_BYTES)).encode()
    headers = {"Content-Type": "application/json"}
    found = problem(
        service.client.post("/v1/jobs", content=body, headers=headers), 413, "BodyTooLarge"
    )
    assert str(MAX_DOCUMENT_BYTES) in found["detail"]


def test_a_body_over_the_limit_is_refused_by_counting_when_its_length_is_not_announced(service):
    headers = {"Content-Type": "application/json"}
    chunks = (b" " * 100_000 for _ in range(20))
    answer = service.client.post("/v1/jobs", content=chunks, headers=headers)
    problem(answer, 413, "BodyTooLarge")


def test_a_second_job_with_the_same_key_and_another_body_is_refused(either_service):
    service = either_service
    service.dataset()
    headers = {"Idempotency-Key": "once"}
    first = service.client.post("/v1/jobs", json=spec(), headers=headers)
    assert first.status_code == 201
    other = service.client.post("/v1/jobs", json=spec(seed=1), headers=headers)
    assert "once" in problem(other, 409, "IdempotencyConflict")["detail"]
    assert num_jobs(service) == 1


def test_a_worker_with_a_stale_token_is_told_so(either_service):
    service = either_service
    service.searching_job()
    first = claim(service).json()
    second = claim(service).json()
    assert second["attempt"] == first["attempt"]
    headers = {"Fencing-Token": first["token"]}
    path = f"/v1/attempts/{first['attempt']}"
    problem(service.client.post(f"{path}/heartbeat", json={}, headers=headers), 409, "StaleAttempt")
    problem(service.client.post(f"{path}/complete", headers=headers), 409, "StaleAttempt")
    file = service.client.put(f"{path}/files/{'0' * 64}", content=b"x", headers=headers)
    problem(file, 409, "StaleAttempt")


def test_a_number_that_is_not_finite_is_no_measurement(service):
    service.searching_job()
    assignment = claim(service).json()
    measurement = factories.measurement().model_dump(mode="json")
    body = json.dumps({"rung": 0, "epochs": 0, "measurement": measurement, "files": []})
    headers = {"Fencing-Token": assignment["token"], "Content-Type": "application/json"}
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        answer = service.client.post(
            f"/v1/attempts/{assignment['attempt']}/reports",
            content=body.replace("0.9", number),
            headers=headers,
        )
        found = problem(answer, 422, "RequestValidationError")
        assert found["errors"][0]["type"] == "json_invalid"


def test_an_accuracy_above_one_is_no_measurement(service):
    service.searching_job()
    assignment = claim(service).json()
    measurement = factories.measurement().model_dump(mode="json")
    measurement["accuracy"]["validation"] = 1.5
    file = {"role": "onnx", "sha256": "0" * 64, "size_bytes": 1000}
    answer = service.client.post(
        f"/v1/attempts/{assignment['attempt']}/reports",
        json={"rung": 0, "epochs": 0, "measurement": measurement, "files": [file]},
        headers={"Fencing-Token": assignment["token"]},
    )
    found = problem(answer, 422, "RequestValidationError")
    assert "1.5" in found["detail"]
    trial = service.client.get(f"/v1/trials/{assignment['trial']}").json()
    assert trial["measurement"] is None


def test_json_that_no_database_could_hold_is_refused(service):
    bodies = (
        '{"name": ',
        "[" * 100_000,
        '{"name": "a\\u0000b"}',
        '{"name": "\\ud800"}',
        '{"seed": 1' + "0" * 30 + "}",
        "",
    )
    for body in bodies:
        headers = {"Content-Type": "application/json"}
        answer = service.client.post("/v1/jobs", content=body, headers=headers)
        problem(answer, 422, "RequestValidationError")


def test_a_problem_does_not_repeat_the_request(service):
    answer = post(service, name="x" * 5000 + "secret")
    assert "secret" not in problem(answer, 422, "RequestValidationError")["detail"]
    assert len(answer.content) < 3000
    many = service.client.post("/v1/jobs", json={f"field{number}": 1 for number in range(500)})
    assert len(problem(many, 422, "RequestValidationError")["errors"]) == 20


def test_yaml_is_read_like_json(service):
    service.dataset()
    text = """
        name: from-yaml
        model: {architecture: {widths: [4, 8], depths: [1, 1]}, epochs: 1}
        data: digits
        techniques: {quantization: {weight_bits: 8}}
        objectives: [maximise accuracy, minimise size_bytes]
        budget: {trials: 6}
        finish: {trials: 1}
    """
    headers = {"Content-Type": "application/yaml"}
    answer = service.client.post("/v1/jobs", content=text, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["spec"]["name"] == "from-yaml"


ALIASES = "a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: [" + "*b, " * 9000 + "]"
HARMFUL_YAML = (
    "a: [1, 2",
    "!!python/object/apply:os.system ['true']",
    ALIASES,
    "a: &a [*a]",
    "[" * 5000,
    "name: " + "x" * 300_000,
    "? [a, b]\n: c",
)


def test_yaml_cannot_do_harm(service):
    for text in HARMFUL_YAML:
        headers = {"Content-Type": "application/yaml"}
        answer = service.client.post("/v1/jobs", content=text, headers=headers)
        assert answer.status_code in (413, 422)
        assert answer.json()["code"] in ("BodyInvalid", "BodyTooLarge")


def test_yaml_has_no_infinity_either(service):
    headers = {"Content-Type": "application/yaml"}
    answer = service.client.post("/v1/jobs", content="budget: {seconds: .inf}", headers=headers)
    problem(answer, 422, "RequestValidationError")


def test_an_unknown_address_and_a_wrong_method_are_problems(service):
    problem(service.client.get("/v1/nothing"), 404, "NotFound")
    answer = service.client.put("/v1/jobs")
    problem(answer, 405, "MethodNotAllowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    assert service.client.patch("/dashboard").headers["Allow"] == "GET, HEAD"


UNKNOWN = {
    "/v1/jobs/none": "JobNotFound",
    "/v1/jobs/none/front": "JobNotFound",
    "/v1/jobs/none/trials": "JobNotFound",
    "/v1/jobs/none/events": "JobNotFound",
    "/v1/jobs/none/report": "JobNotFound",
    "/v1/jobs/none/recommendation": "JobNotFound",
    "/v1/trials/none": "TrialNotFound",
    "/v1/trials/none/why": "TrialNotFound",
    "/v1/trials/none/artifacts": "TrialNotFound",
    "/v1/artifacts/none": "ArtifactNotFound",
    "/v1/artifacts/none/manifest": "ArtifactNotFound",
    "/v1/models/none": "ModelNotFound",
    "/v1/datasets/none": "DatasetNotFound",
    "/v1/uploads/none": "UploadNotFound",
    f"/v1/files/{'0' * 64}": "ArtifactNotFound",
}


def test_an_unknown_id_is_not_found(service):
    for path, code in UNKNOWN.items():
        problem(service.client.get(path), 404, code)


def test_an_id_that_cannot_be_one_is_refused_before_the_database_sees_it(either_service):
    for path in ("/v1/jobs/a%00b", "/v1/models/a%00b", "/v1/trials/%ff", "/v1/files/xyz"):
        problem(either_service.client.get(path), 422, "RequestValidationError")


def test_a_cursor_of_another_listing_is_refused(either_service):
    service = either_service
    job = service.searching_job(waiting=3)
    service.submit(name="second")
    cursor = service.client.get("/v1/jobs?limit=1").json()["next_cursor"]
    answer = service.client.get(f"/v1/jobs/{job}/trials?cursor={cursor}")
    problem(answer, 422, "InvalidCursor")
    problem(service.client.get("/v1/jobs?cursor=abc"), 422, "InvalidCursor")
    problem(service.client.get("/v1/jobs?limit=0"), 422, "RequestValidationError")
    problem(service.client.get("/v1/jobs?limit=201"), 422, "RequestValidationError")


def test_a_value_of_another_type_is_not_turned_into_the_right_one(service):
    service.dataset()
    for changes, place in (
        ({"seed": "3"}, ["body", "seed"]),
        ({"seed": True}, ["body", "seed"]),
        ({"controls": 1}, ["body", "controls"]),
        ({"early_stopping": {"rungs": [0, "1"]}}, ["body", "early_stopping", "rungs", 1]),
    ):
        found = problem(post(service, **changes), 422, "RequestValidationError")
        assert [error["loc"] for error in found["errors"]] == [place]


def test_what_has_the_wrong_kind_is_said_in_words_of_json(service):
    service.dataset()
    for field, word in (("objectives", "array"), ("budget", "object"), ("techniques", "object")):
        found = problem(post(service, **{field: 7}), 422, "RequestValidationError")
        assert f"JSON {word}" in found["detail"], found["detail"]
    assert num_jobs(service) == 0
