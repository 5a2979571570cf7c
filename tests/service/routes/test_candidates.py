"""Candidates of users over HTTP: checked one by one, taken once, and within the budget."""

import pytest

from featherweight.specs.jobs.candidates import CandidateRequests
from featherweight.specs.states import JobState, Phase, StopReason
from service.http.examples import CANDIDATES_EXAMPLE
from service.intake import submission
from store.jobs import jobs
from store.trials import candidates, trials
from tests import factories
from tests.service.running import problem, spec

STEPS = [
    {"technique": "filter_pruning", "ratios": [0.3, 0.5]},
    {"technique": "quantization", "weight_bits": 8},
]
OUTSIDE = [{"technique": "filter_pruning", "ratios": [0.33, 0.5]}, {"technique": "quantization"}]
BUDGET = {"trials": 12, "parallel_trials": 2}


def post(service, job, *found, key=None, status=201):
    headers = {} if key is None else {"Idempotency-Key": key}
    path = f"/v1/jobs/{job}/candidates"
    answer = service.client.post(path, json=list(found), headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def params(service, job, **changes):
    """Values for every knob of the job, the lowest ones."""
    asked = service.client.get(f"/v1/jobs/{job}").json()["spec"]
    knobs = service.client.post("/v1/jobs?dry_run=true", json=asked).json()["space"]
    turning = [knob for knob in knobs if knob["kind"] != "fixed"]
    lowest = {k["name"]: k["choices"][0] if k["choices"] else k["low"] for k in turning}
    return lowest | changes


def test_candidates_are_taken_by_their_knobs_and_by_their_steps(either_service):
    service = either_service
    job = service.searching_job(waiting=0, budget=BUDGET)
    by_knobs = {"params": params(service, job, **{"filter_pruning.ratios.1": 0.7})}
    answers = post(service, job, by_knobs, {"steps": STEPS}, {"steps": OUTSIDE})
    assert [one["is_new"] for one in answers] == [True] * 3
    assert [one["in_space"] for one in answers] == [True, True, False]
    assert {(one["state"], one["trial"]) for one in answers} == {("waiting", None)}
    assert answers[2]["description"] == "prune 0.33/0.5 + w8a8"
    listed = service.client.get(f"/v1/jobs/{job}/candidates").json()["items"]
    assert [one["candidate_digest"] for one in listed] == [a["candidate_digest"] for a in answers]
    assert [(one["number"], one["origin"]) for one in listed] == [
        (0, "user"),
        (1, "user"),
        (2, "user"),
    ]


def test_what_the_job_has_is_not_taken_again_and_the_answer_says_where_it_is(either_service):
    service = either_service
    job = service.searching_job(waiting=0, budget=BUDGET)
    with service.database.write() as session:
        record = jobs.lock(session, job)
        tried = factories.trial(session, record, candidate=factories.candidate(0.2))
    known = {"steps": [{"technique": "filter_pruning", "ratios": [0.2, 0.2]}, STEPS[1]]}
    [answer] = post(service, job, known, status=200)
    assert (answer["is_new"], answer["state"]) == (False, "tried")
    assert (answer["trial"], answer["trial_number"]) == (tried.id, tried.number)
    [first] = post(service, job, {"steps": STEPS})
    twice = post(service, job, {"steps": STEPS}, {"steps": STEPS}, status=200)
    assert [one["is_new"] for one in (first, *twice)] == [True, False, False]
    assert len(service.client.get(f"/v1/jobs/{job}/candidates").json()["items"]) == 1


def test_the_example_is_a_list_of_candidates():
    [example] = CandidateRequests.model_validate(CANDIDATES_EXAMPLE).root
    assert [step.technique for step in example.steps] == ["filter_pruning", "quantization"]


def test_a_request_with_a_key_is_one_request_however_often_it_is_sent(either_service):
    service = either_service
    job = service.searching_job(waiting=0, budget=BUDGET)
    post(service, job, {"steps": STEPS}, key="k")
    [again] = post(service, job, {"steps": STEPS}, key="k", status=200)
    assert again["state"] == "waiting"
    headers = {"Idempotency-Key": "k"}
    other = service.client.post(
        f"/v1/jobs/{job}/candidates", json=[{"steps": OUTSIDE}], headers=headers
    )
    assert "'k'" in problem(other, 409, "IdempotencyConflict")["detail"]
    with service.database.write() as session:
        record = jobs.lock(session, job)
        jobs.move(session, record, JobState.STOPPING, reason=StopReason.CANCELLED)
        candidates.drop_waiting(session, record, "cancelled")
    [late] = post(service, job, {"steps": STEPS}, key="k", status=200)
    assert late["state"] == "dropped"


def test_every_candidate_that_does_not_fit_is_named_and_none_is_taken(service):
    job = service.searching_job(waiting=0, budget=BUDGET)
    wrong = [
        {"steps": STEPS},
        {"params": {"filter_pruning.ratios.0": 0.3}},
        {"steps": [{"technique": "sparsity", "sparsity": 0.5}]},
        {"steps": [{"technique": "filter_pruning", "ratios": [0.3]}]},
        {"params": params(service, job, **{"filter_pruning.ratios.0": 0.35})},
    ]
    answer = service.client.post(f"/v1/jobs/{job}/candidates", json=wrong)
    found = problem(answer, 422, "RequestValidationError")["errors"]
    assert [entry["loc"] for entry in found] == [["body", index] for index in (1, 2, 3, 4)]
    words = ["give a value for", "not among the job's techniques", "2 stages", "steps of 0.1"]
    assert all(word in entry["msg"] for word, entry in zip(words, found, strict=True))
    assert service.client.get(f"/v1/jobs/{job}/candidates").json()["items"] == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ([], ["body"]),
        ({"steps": STEPS}, ["body"]),
        ([{}], ["body", 0]),
        ([{"steps": STEPS, "params": {}}], ["body", 0]),
        ([{"steps": STEPS[::-1]}], ["body", 0]),
        ([{"steps": [{"technique": "magic"}]}], ["body", 0, "steps", 0]),
        ([{"params": {"a": "x" * 10, "b": None}}], ["body", 0, "params"]),
    ],
)
def test_what_is_no_list_of_candidates_is_refused_with_the_place(service, body, place):
    job = service.searching_job(waiting=0, budget=BUDGET)
    answer = service.client.post(f"/v1/jobs/{job}/candidates", json=body)
    found = problem(answer, 422, "RequestValidationError")["errors"]
    assert found[0]["loc"][: len(place)] == place


def test_a_refused_step_is_the_only_error_and_an_empty_list_is_one(service):
    job = service.searching_job(waiting=0, budget=BUDGET)
    path = f"/v1/jobs/{job}/candidates"
    wide = [{"steps": [{"technique": "quantization", "weight_bits": 40}]}]
    found = problem(service.client.post(path, json=wide), 422, "RequestValidationError")
    [only] = found["errors"]
    assert only["loc"] == ["body", 0, "steps", 0, "quantization", "weight_bits"]
    assert "more" not in found["detail"]
    empty = problem(service.client.post(path, json=[]), 422, "RequestValidationError")
    assert "The array should have at least 1 item" in empty["detail"]


def test_text_that_looks_like_a_number_is_no_number(service):
    job = service.searching_job(waiting=0, budget=BUDGET)
    steps = [{"technique": "quantization", "weight_bits": "8"}]
    answer = service.client.post(f"/v1/jobs/{job}/candidates", json=[{"steps": steps}])
    problem(answer, 422, "RequestValidationError")


def test_the_budget_has_room_or_nothing_is_taken(either_service):
    service = either_service
    job = service.searching_job(waiting=3)  # of 4 search trials
    answer = service.client.post(
        f"/v1/jobs/{job}/candidates", json=[{"steps": STEPS}, {"steps": OUTSIDE}]
    )
    assert "4 search trials" in problem(answer, 409, "BudgetExhausted")["detail"]
    assert service.client.get(f"/v1/jobs/{job}/candidates").json()["items"] == []
    post(service, job, {"steps": STEPS})


def test_a_queued_and_a_paused_job_take_them_and_an_ended_search_does_not(either_service):
    service = either_service
    service.dataset()
    job = service.submit()["id"]
    post(service, job, {"steps": STEPS})
    searching = service.searching_job(waiting=1, name="other")
    service.client.post(f"/v1/jobs/{searching}/pause")
    post(service, searching, {"steps": STEPS})
    with service.database.write() as session:
        jobs.set_phase(session, jobs.lock(session, searching), Phase.FINISH)
    path = f"/v1/jobs/{searching}/candidates"
    late = service.client.post(path, json=[{"steps": OUTSIDE}])
    assert "search of job" in problem(late, 409, "NotRunning")["detail"]
    service.client.post(f"/v1/jobs/{job}/cancel")
    late = service.client.post(f"/v1/jobs/{job}/candidates", json=[{"steps": OUTSIDE}])
    problem(late, 409, "NotRunning")
    nowhere = service.client.post("/v1/jobs/none/candidates", json=[{"steps": STEPS}])
    problem(nowhere, 404, "JobNotFound")


def test_proposing_needs_the_scope_to_submit(service):
    job = service.searching_job(waiting=0, budget=BUDGET)
    path, body = f"/v1/jobs/{job}/candidates", [{"steps": STEPS}]
    reader, submitter = service.token("read"), service.token("submit")
    problem(service.client.post(path, json=body, headers=reader), 403, "ScopeMissing")
    assert service.client.post(path, json=body, headers=submitter).status_code == 201
    assert service.client.get(path, headers=reader).status_code == 200


def finished(service, **changes):
    """A finished job whose front holds one candidate beside the baseline."""
    job = service.searching_job(waiting=0, budget=BUDGET, **changes)
    with service.database.write() as session:
        record = jobs.lock(session, job)
        factories.trial(session, record, candidate=factories.candidate(0.3))
        factories.deliver(
            session, factories.must_claim(session), measured=factories.measurement(0.88, 300)
        )
        trials.stop_waiting(session, record, "over")
        jobs.move(session, record, JobState.STOPPING, reason=StopReason.FINISHED)
        jobs.move(session, record, JobState.SUCCEEDED)
    return job


def test_a_job_may_start_from_the_front_of_another(either_service):
    service = either_service
    source = finished(service)
    asked = {"warm_start": {"jobs": [source]}, "name": "second"}
    dry = service.client.post("/v1/jobs?dry_run=true", json=spec(**asked)).json()
    assert dry["warm_start"] == [f"prune 0.3/0.3 + w8a8, from trial 1 of job {source}"]
    job = service.submit(**asked)
    assert job["spec"]["warm_start"]["candidates"] == 4
    [opening] = service.client.get(f"/v1/jobs/{job['id']}/candidates").json()["items"]
    assert (opening["origin"], opening["state"]) == ("warm", "waiting")
    assert opening["candidate_digest"] == factories.candidate(0.3).digest()
    auto = service.submit(warm_start={"auto": True}, name="third")
    listed = service.client.get(f"/v1/jobs/{auto['id']}/candidates").json()["items"]
    assert [one["candidate_digest"] for one in listed] == [opening["candidate_digest"]]


def test_a_submission_that_is_repeated_opens_with_each_candidate_once(service):
    source = finished(service)
    asked = spec(warm_start={"jobs": [source]})
    headers = {"Idempotency-Key": "warm"}
    first = service.client.post("/v1/jobs", json=asked, headers=headers)
    again = service.client.post("/v1/jobs", json=asked, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    path = f"/v1/jobs/{first.json()['id']}/candidates"
    assert len(service.client.get(path).json()["items"]) == 1


@pytest.mark.parametrize(
    ("start", "status", "code", "words"),
    [
        ({"jobs": ["nothing"]}, 422, "WarmStartDoesNotFit", "no job 'nothing'"),
        ({"jobs": []}, 422, "RequestValidationError", "name the jobs to start from"),
        ({"auto": True, "jobs": ["a"]}, 422, "RequestValidationError", "one of the two"),
        ({"study": "sqlite:///x.db"}, 422, "RequestValidationError", "study"),
    ],
)
def test_a_start_from_nowhere_is_refused(service, start, status, code, words):
    service.dataset()
    answer = service.client.post("/v1/jobs", json=spec(warm_start=start))
    found = problem(answer, status, code)
    assert words in str(found)


def test_a_job_without_a_warm_start_has_the_digest_that_it_always_had():
    asked = factories.spec()
    warm = factories.spec(warm_start={"auto": True})
    assert submission.digest(asked) != submission.digest(warm)
    again = asked.model_copy(update={"warm_start": None})
    assert submission.digest(asked) == submission.digest(again)
