"""Accuracies on test with their intervals, one recommendation, and what makes them worthless."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from compress.values.measurement import Measurement
from featherweight.cli import tables
from featherweight.specs.schemas import (
    DryRunSchema,
    FrontSchema,
    JobSchema,
    RecommendationSchema,
    ReportSchema,
)
from featherweight.specs.states import JobState, Phase, StopReason
from service.reports.accuracies import NO_TEST_SPLIT
from store.attempts import attempts
from store.jobs import jobs
from store.trials import trials
from tests import factories
from tests.service.running import Service, spec

COUNTS = {"train": (500, 500), "validation": (200, 200), "test": (100, 300)}
SPLITS = {split: sum(counts) for split, counts in COUNTS.items()}


def by_class(validation: tuple[int, int], size_bytes: int, **changes: Any) -> Measurement:
    measured = factories.measurement(sum(validation) / 400, size_bytes)
    return measured.model_copy(update={"class_correct": {"validation": validation}} | changes)


BASELINE = by_class(
    (196, 196),
    1000,
    accuracy={"validation": 0.98, "test": 0.96},
    class_correct={"validation": (196, 196), "test": (96, 288)},
)
SMALL = by_class((190, 198), 300)


def searched(service: Service, *files: Measurement, **changes: Any) -> str:
    """A job whose baseline and search trials were measured like this."""
    baseline = changes.pop("baseline", BASELINE)
    info = changes.pop("info", {"splits": SPLITS, "class_counts": COUNTS})
    with service.database.write() as session:
        factories.dataset(session, **info)
        job = factories.job(session, running=True, **changes)
        factories.baseline_trial(session, job)
        factories.deliver(session, factories.must_claim(session), measured=baseline)
        jobs.set_phase(session, job, Phase.SEARCH)
        for measured in files:
            factories.trial(session, job, rungs=(0,))
            factories.deliver(session, factories.must_claim(session), measured=measured)
        return job.id


def measure_on_test(service: Service, job_id: str, *accuracies: float) -> None:
    """Measure the newest trials' files on test, as the last phase does, and end the job."""
    with service.database.write() as session:
        job = jobs.lock(session, job_id)
        files = [row.file_sha256 for row in trials.of_job(session, job_id)][-len(accuracies) :]
        changes = {"origin": trials.EVALUATION, "rungs": (0,) * len(files), "files": files}
        factories.trial(session, job, phase=Phase.TEST, **changes)
        mine = factories.must_claim(session)
        for rung, accuracy in enumerate(accuracies):
            what = factories.evaluation_report(mine, rung=rung, test_accuracy=accuracy)
            attempts.report(session, mine.attempt, mine.token, what, decide=factories.climb)
    end(service, job_id)


def end(service: Service, job_id: str, reason: StopReason = StopReason.FINISHED) -> None:
    final = JobState.SUCCEEDED if reason is StopReason.FINISHED else JobState.CANCELLED
    with service.database.write() as session:
        job = jobs.lock(session, job_id)
        jobs.move(session, job, JobState.STOPPING, reason=reason)
        jobs.move(session, job, final)


def front(service: Service, job: str) -> FrontSchema:
    return FrontSchema.model_validate(service.client.get(f"/v1/jobs/{job}/front").json())


def report(service: Service, job: str) -> ReportSchema:
    return ReportSchema.model_validate(service.client.get(f"/v1/jobs/{job}/report").json())


def recommendation(service: Service, job: str) -> RecommendationSchema:
    answer = service.client.get(f"/v1/jobs/{job}/recommendation").json()
    return RecommendationSchema.model_validate(answer)


def test_a_file_of_the_search_has_its_accuracy_on_test_with_images_and_interval(
    either_service: Service,
) -> None:
    service = either_service
    job = searched(service, SMALL)
    measure_on_test(service, job, 0.95)
    found = front(service, job)
    [small, _] = found.points
    assert small.test is not None
    assert small.validation is not None
    assert (small.test.accuracy, small.test.images) == (0.95, 400)
    assert (small.test.low, small.test.high) == pytest.approx((0.9240, 0.9674), abs=5e-5)
    assert (small.validation.accuracy, small.validation.images) == (0.97, 400)
    assert small.measurement.accuracy == {"validation": 0.97, "test": 0.95}
    assert found.baseline is not None
    assert found.baseline.test is not None
    assert found.baseline.test.accuracy == 0.96
    assert found.test_note is None


def test_every_metric_is_in_front_and_report(service: Service) -> None:
    quality = {"validation": {"macro_f1": 0.9}, "test": {"macro_f1": 0.8}}
    first = BASELINE.model_copy(update={"quality": quality})
    small = SMALL.model_copy(update={"quality": factories.quality(macro_f1=0.85)})
    constraints = ["macro_f1 >= baseline - 10 points", "macs <= baseline"]
    job = searched(service, small, baseline=first, constraints=constraints)
    found = front(service, job)
    names = [info.name for info in found.compared]
    assert names == ["accuracy", "size_bytes", "macro_f1", "macs"]
    assert found.points[0].figures["macro_f1"] == 0.85
    assert found.points[0].figures["macs"] == small.macs
    assert "top5_accuracy" not in found.points[0].figures
    rows = {row.metric.name: row for row in report(service, job).figures}
    f1 = rows["macro_f1"]
    assert (f1.baseline, f1.recommended, f1.baseline_on_test) == (0.9, 0.85, 0.8)
    assert f1.recommended_on_test is None
    assert rows["size_bytes"].baseline_on_test is None
    console = Console(file=io.StringIO(), width=200)
    console.print(tables.report(report(service, job)))
    line = next(one for one in console.file.getvalue().splitlines() if "macro F1" in one)  # pyright: ignore[reportAttributeAccessIssue]
    assert line.split()[2:] == ["85.00", "%", "90.00", "%", "-", "80.00", "%"]


def test_front_report_and_recommendation_name_one_file_for_one_reason(service: Service) -> None:
    job = searched(service, SMALL, constraints=["accuracy >= baseline - 1 point"])
    measure_on_test(service, job, 0.93)
    taken, seen, said = recommendation(service, job), front(service, job), report(service, job)
    assert taken.point is not None
    assert said.recommended is not None
    assert taken.point.size_bytes == 300
    assert taken.point.artifact == seen.recommended == said.recommended.artifact
    assert taken.text == seen.recommendation == said.recommendation
    assert taken.text == (
        "trial 1: 93.00 % (95 % interval 90.07 % to 95.11 %, 400 images) on test "
        "(baseline 96.00 %), 97.00 % (95 % interval 94.83 % to 98.28 %, 400 images) on "
        "validation; 300 bytes: the smallest file that meets every constraint"
    )
    assert seen.warnings == said.warnings[: len(seen.warnings)]
    [missed] = [text for text in seen.warnings if "does not meet" in text]
    assert "accuracy >= baseline - 1 point: 93.00 %, and the baseline 96.00 %" in missed


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (None, "are measured on test once the search is over"),
        (StopReason.CANCELLED, "the job was cancelled before"),
        (StopReason.FINISHED, "only those of the finish phase and the baseline"),
    ],
    ids=["still searching", "cancelled", "an old job"],
)
def test_why_a_file_has_no_figure_on_test_is_said(
    service: Service, ending: StopReason | None, words: str
) -> None:
    job = searched(service, SMALL)
    if ending is not None:
        end(service, job, ending)
    for note in (front(service, job).test_note, report(service, job).test_note):
        assert note is not None
        assert words in note
        assert "too high by chance" in note
    assert front(service, job).points[0].test is None


def test_without_a_test_split_it_is_said_that_the_figure_is_too_high(service: Service) -> None:
    counts = {split: COUNTS[split] for split in ("train", "validation")}
    info = {"splits": {"train": 1000, "validation": 400}, "class_counts": counts}
    baseline = by_class((196, 196), 1000)
    job = searched(service, SMALL, info=info, baseline=baseline)
    end(service, job)
    assert front(service, job).test_note == NO_TEST_SPLIT
    assert "on test" not in recommendation(service, job).text


def test_the_report_counts_classes_and_names_those_that_collapsed(service: Service) -> None:
    job = searched(service, by_class((90, 200), 300), constraints=["size_bytes <= 400 B"])
    said = report(service, job)
    rows = {(row.split, row.label): row for row in said.classes}
    first = rows["validation", 0]
    assert (first.images, first.baseline, first.recommended) == (200, 0.98, 0.45)
    assert (rows["test", 1].images, rows["test", 1].baseline) == (300, 0.96)
    assert rows["test", 1].recommended is None
    [lost] = [text for text in said.warnings if "lost classes" in text]
    assert "on validation" in lost
    assert "class 0 from 98% to 45% of 200 images" in lost
    assert "class 1" not in lost
    assert said.warnings == said.notes[: len(said.warnings)]


def test_a_baseline_at_chance_is_said_in_job_front_report_and_the_next_dry_run(
    service: Service,
) -> None:
    guess = by_class((200, 0), 1000, accuracy={"validation": 0.5, "test": 0.25})
    job = searched(service, baseline=guess)
    found = JobSchema.model_validate(service.client.get(f"/v1/jobs/{job}").json())
    dry = service.client.post("/v1/jobs?dry_run=true", json=spec()).json()
    for warnings in (
        found.warnings,
        front(service, job).warnings,
        report(service, job).warnings,
        DryRunSchema.model_validate(dry).warnings,
    ):
        first = warnings[0]
        assert first.startswith("the baseline is no better than always answering class 0: 50.00%")
        assert "check that the weights are the trained ones" in first
        assert any("always answering class 1: 25.00% of 400 test" in text for text in warnings)


def test_a_split_of_one_class_and_what_the_upload_found_are_said_at_the_submission(
    service: Service,
) -> None:
    counts = {"train": (40, 40), "validation": (0, 20), "test": (10, 10)}
    with service.database.write() as session:
        factories.dataset(session, class_counts=counts, warnings=["20 of 20 images are in train"])
    dry = service.client.post("/v1/jobs?dry_run=true", json=spec()).json()
    made = service.submit()
    for warnings in (dry["warnings"], made["warnings"]):
        assert warnings[0].startswith("validation holds only class 1")
        assert "20 of 20 images are in train" in warnings


def test_few_images_are_said_with_what_they_leave_open(service: Service) -> None:
    job = service.searching_job(waiting=0)
    [few] = [text for text in front(service, job).warnings if text.startswith("validation has 20")]
    assert "accuracy of 90.00 % there means 69.90 % to 97.21 %" in few
