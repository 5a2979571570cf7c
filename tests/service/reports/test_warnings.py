"""Warnings that a report's numbers are worth less than they look, and none without reason."""

from __future__ import annotations

import random

import pytest

from compress.values.measurement import Measurement
from compress.values.revision import ENGINE_REVISION
from featherweight.specs.schemas import FinalistSchema, ReportSchema
from service.reports import warnings
from store.jobs import jobs
from tests import factories
from tests.service.running import problem, spec

SPLITS = {"train": 45_000, "validation": 5_000, "test": 10_000}


def baseline(**accuracy: float) -> Measurement:
    return factories.measurement().model_copy(update={"accuracy": accuracy})


def leakage(
    measured: Measurement | None, *, expected: float | None = None, held_out: bool = False
) -> list[str]:
    data = factories.dataset_info(splits=SPLITS, held_out=held_out)
    return list(warnings.leaked_validation(measured, data, expected_accuracy=expected))


def test_validation_images_that_were_trained_on_are_found_by_the_test_split() -> None:
    [said] = leakage(baseline(train=0.9985, validation=0.9976, test=0.9173), held_out=True)
    assert said.startswith(
        "the validation split looks as if the model had been trained on it: 99.76% there and "
        "99.85% on training images, but 91.73% on test."
    )
    assert "held out of the training images here; upload the data with x_validation" in said


def test_they_are_found_by_what_the_user_knows_where_there_is_no_test_split() -> None:
    leaked = baseline(train=0.998, validation=0.9976)
    assert leakage(leaked) == []
    [said] = leakage(leaked, expected=0.917)
    assert "but 91.70% expected" in said
    assert leakage(baseline(train=0.998, validation=0.9976, test=0.9), expected=0.9)[0].count("%")


@pytest.mark.parametrize(
    "accuracy",
    [
        {"train": 0.998, "validation": 0.919, "test": 0.917},
        {"train": 0.92, "validation": 0.92, "test": 0.915},
        {"train": 0.998, "validation": 0.93, "test": 0.9},
        {"validation": 0.9976, "test": 0.9173},
        {"train": 1.0, "validation": 1.0, "test": 1.0},
    ],
    ids=["overfitted", "all alike", "a harder test", "trained here", "perfect"],
)
def test_nothing_is_said_where_validation_is_unseen(accuracy: dict[str, float]) -> None:
    assert leakage(baseline(**accuracy), expected=accuracy["validation"]) == []


def test_nothing_is_said_before_the_baseline_is_measured() -> None:
    assert leakage(None, expected=0.5) == []


@pytest.mark.parametrize("true", [0.6, 0.9, 0.99])
def test_chance_alone_hardly_ever_raises_the_alarm(true: float) -> None:
    """Three splits of one accuracy, a thousand times: an alarm needs two intervals that miss."""
    random_ = random.Random(0)

    def drawn(images: int) -> float:
        return min(1.0, max(0.0, random_.gauss(true, (true * (1 - true) / images) ** 0.5)))

    alarms = sum(
        bool(leakage(baseline(train=drawn(10_000), validation=drawn(5_000), test=drawn(10_000))))
        for _ in range(1_000)
    )
    assert alarms == 0


def finalist(std: float, runs: int) -> FinalistSchema:
    return FinalistSchema(
        candidate=factories.candidate(),
        description="",
        trials=tuple(range(runs)),
        size_bytes=(1,) * runs,
        validation_mean=0.9,
        validation_std=std,
        test_mean=None,
        test_std=None,
    )


def test_files_of_several_revisions_of_the_engine_are_named() -> None:
    old, new = (factories.measurement(engine_revision=number) for number in (1, ENGINE_REVISION))
    [said] = warnings.mixed_revisions([old, new, new])
    assert f"1 by revision 1, 2 by revision {ENGINE_REVISION}" in said
    [said] = warnings.mixed_revisions([old, old])
    assert said.startswith("the job's files were made by revision 1 of the engine")
    assert not list(warnings.mixed_revisions([new]))
    assert not list(warnings.mixed_revisions([]))


def test_a_spread_wider_than_the_steps_of_the_front_is_said() -> None:
    front = [factories.measurement(a, size) for a, size in ((0.9, 100), (0.902, 200), (0.95, 300))]
    [said] = warnings.wide_spread([finalist(0.003, 2), finalist(0.005, 3), finalist(0.0, 1)], front)
    assert said.startswith("1 of 2 steps between neighbours of the front are smaller than what ")
    assert "0.44 points" in said
    assert not list(warnings.wide_spread([finalist(0.001, 2)], front))
    assert not list(warnings.wide_spread([finalist(0.0, 1)], front))
    assert not list(warnings.wide_spread([finalist(0.5, 2)], front[:1]))


def test_the_report_of_an_uploaded_model_warns(either_service) -> None:
    service = either_service
    leaked = factories.measurement().model_copy(
        update={"accuracy": {"train": 0.99, "validation": 0.99, "test": 0.7}}
    )
    with service.database.write() as session:
        factories.dataset(session, splits={"train": 5000, "validation": 2000, "test": 2000})
        model = factories.model(session)
        record = factories.job(session, model=model, running=True, expected_accuracy=0.71)
        factories.baseline_trial(session, record)
        factories.deliver(session, factories.must_claim(session), measured=leaked)
        job = record.id
    report = ReportSchema.model_validate(service.client.get(f"/v1/jobs/{job}/report").json())
    [said] = [note for note in report.notes if "looks as if" in note]
    assert "but 70.00% on test and 71.00% expected" in said
    with service.database.read() as session:
        assert jobs.spec(jobs.get(session, job)).expected_accuracy == 0.71


def test_nobody_can_expect_an_accuracy_of_what_is_trained_here(service) -> None:
    service.dataset()
    answer = service.client.post("/v1/jobs", json=spec(expected_accuracy=0.9))
    found = problem(answer, 422, "RequestValidationError")
    assert "expected_accuracy 0.9 is that of an uploaded model" in found["detail"]
