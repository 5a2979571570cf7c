"""The front, the recommendation and the report of a job over HTTP."""

import pytest

from featherweight.specs.schemas import FrontSchema, ReportSchema
from featherweight.specs.states import Phase
from store.jobs import jobs
from tests import factories
from tests.service.running import finish, problem


def search_with(service, *measured, **changes):
    """A job whose search trials were measured like this."""
    job = service.searching_job(waiting=len(measured), **changes)
    with service.database.write() as session:
        for one in measured:
            factories.deliver(session, factories.must_claim(session), measured=one)
    return job


def test_the_front_holds_what_nothing_beats_by_ascending_size(either_service):
    service = either_service
    job = search_with(
        service,
        factories.measurement(0.80, 300),
        factories.measurement(0.85, 500),
        factories.measurement(0.70, 600),
    )
    front = FrontSchema.model_validate(service.client.get(f"/v1/jobs/{job}/front").json())
    assert [(p.size_bytes, p.measurement.accuracy["validation"]) for p in front.points] == [
        (300, 0.80),
        (500, 0.85),
        (1000, 0.90),
    ]
    assert front.baseline is not None
    assert front.baseline.number == 0
    assert front.objectives == ("maximise accuracy", "minimise size_bytes")
    assert 0 < front.hypervolume < 1
    assert {point.measurement.target for point in front.points} == {"portable"}
    assert front.points[0].url == f"/v1/artifacts/{front.points[0].artifact}"


def test_the_front_also_names_the_newest_file_of_every_control(either_service):
    service = either_service
    job = service.searching_job(waiting=0)
    with service.database.write() as session:
        record = jobs.lock(session, job)
        factories.trial(session, record, origin="control")
        factories.trial(session, record)
        for size in (400, 300):
            measured = factories.measurement(0.8, size)
            factories.deliver(session, factories.must_claim(session), measured=measured)
    front = FrontSchema.model_validate(service.client.get(f"/v1/jobs/{job}/front").json())
    assert [point.size_bytes for point in front.points] == [300, 1000]
    assert [(p.size_bytes, p.epochs, p.number) for p in front.controls] == [(400, 1, 1)]


def test_without_a_feasible_file_the_front_names_the_nearest_and_what_blocks_it(service):
    constraints = ["accuracy >= 95 %"]
    job = search_with(service, factories.measurement(0.80, 300), constraints=constraints)
    front = service.client.get(f"/v1/jobs/{job}/front").json()
    assert front["points"] == []
    assert front["nearest"]["number"] == 0
    assert front["blocked_by"] == "accuracy >= 95 %"


def test_the_recommendation_gives_its_reason(service):
    constraints = ["accuracy >= baseline - 10 points"]
    job = search_with(
        service,
        factories.measurement(0.82, 300),
        factories.measurement(0.85, 500),
        constraints=constraints,
    )
    found = service.client.get(f"/v1/jobs/{job}/recommendation").json()
    assert found["point"]["size_bytes"] == 300
    assert "smallest" in found["reason"]
    empty = service.submit(name="new")["id"]
    assert service.client.get(f"/v1/jobs/{empty}/recommendation").json()["point"] is None


def test_the_report_gives_mean_and_spread_of_finalists_and_the_best_control(either_service):
    service = either_service
    job = service.searching_job(waiting=0, budget={"trials": 8, "parallel_trials": 2})
    with service.database.write() as session:
        record = jobs.lock(session, job)
        factories.trial(session, record, origin="control")
        factories.deliver(
            session, factories.must_claim(session), measured=factories.measurement(0.8, 400)
        )
        for seed, accuracy in ((1000, 0.88), (1001, 0.90)):
            changes = {"phase": Phase.FINISH, "origin": "finish", "seed": seed}
            factories.trial(
                session, record, rungs=(2,), candidate=factories.candidate(0.3), **changes
            )
            by_split = {"validation": accuracy, "test": accuracy - 0.01}
            measured = factories.measurement(size_bytes=250, seconds={"train": 2.0})
            measured = measured.model_copy(update={"accuracy": by_split})
            factories.deliver(session, factories.must_claim(session), measured=measured)
        finish(session, job)
    report = ReportSchema.model_validate(service.client.get(f"/v1/jobs/{job}/report").json())
    assert report.state == "succeeded"
    [finalist] = report.finalists
    assert finalist.validation_mean == pytest.approx(0.89)
    assert finalist.validation_std == pytest.approx(0.01 * 2**0.5)
    assert finalist.test_mean == pytest.approx(0.88)
    assert finalist.size_bytes == (250, 250)
    assert [control.size_bytes for control in report.controls] == [400]
    assert 0 < report.hypervolume_of_controls < report.hypervolume < 1
    assert report.refused == 0
    assert report.best_without_search is not None
    assert report.compression_ratio == 4
    assert report.seconds == {"train": 4.0}
    assert sum(report.stop_reasons.values()) == 4
    assert report.counts.total == 4


def test_why_tells_rungs_violations_and_attempts(service):
    job = search_with(service, factories.measurement(0.80, 300), constraints=["accuracy >= 85 %"])
    trial = service.client.get(f"/v1/jobs/{job}/trials").json()["items"][1]
    why = service.client.get(f"/v1/trials/{trial['id']}/why").json()
    assert why["violations"] == {"accuracy >= 85 %": pytest.approx(0.05 / 0.85)}
    assert [rung["rung"] for rung in why["rungs"]] == [0, 1]
    assert [attempt["worker"] for attempt in why["attempts"]] == ["worker"]
    assert trial["feasible"] is False


def test_a_rerun_is_the_same_candidate_from_another_seed(either_service):
    service = either_service
    job = search_with(service, factories.measurement(0.80, 300))
    trial = service.client.get(f"/v1/jobs/{job}/trials").json()["items"][1]
    answer = service.client.post(f"/v1/trials/{trial['id']}/rerun")
    assert answer.status_code == 201
    again = answer.json()
    assert again["candidate_digest"] == trial["candidate_digest"]
    assert (again["origin"], again["state"]) == ("rerun", "waiting")
    assert again["seed"] != trial["seed"]
    service.client.post(f"/v1/jobs/{job}/cancel")
    problem(service.client.post(f"/v1/trials/{trial['id']}/rerun"), 409, "NotRunning")
