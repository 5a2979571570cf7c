"""Bounds and objectives that say nothing are named, with what was probably meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from compress.network.families.residual.config import Residual
from compress.values.measurement import Measurement
from search.loop.searcher import Searcher
from search.space import slack
from store.jobs import events
from store.session import Database
from tests import factories
from tests.search import simulated

NETWORK = Residual(widths=(16, 32, 64), depths=(2, 2, 2))
BASELINE = factories.measurement(
    0.98, 700_000, latency_ms=2.0, parameters=174_000, macs=1_650_000, peak_memory_bytes=10_000_000
)
DATA = factories.dataset_info(
    num_classes=10,
    class_counts={"train": (8,) * 10, "validation": (4, *(2,) * 8, 0), "test": (2,) * 10},
)
TECHNIQUES = {"family_member": {}, "filter_pruning": {}, "quantization": {}}


def said(*constraints: str, baseline: Measurement | None = None, **changes: Any) -> tuple[str, ...]:
    fields = {"techniques": TECHNIQUES, "constraints": list(constraints)}
    spec = factories.spec(**(fields | changes))
    return slack.cautions(factories.problem(spec, own=NETWORK, dataset=DATA, baseline=baseline))


@pytest.mark.parametrize(
    ("constraint", "meant"),
    [
        ("accuracy >= baseline - 1", "write 'baseline - 1 point' or 'baseline - 0.01' for 1 point"),
        ("accuracy >= baseline - 5", "write 'baseline - 5 points' or 'baseline - 0.05'"),
        ("accuracy >= baseline - 100 points", "'baseline - 1 point' for one point"),
        ("accuracy >= 0", "such as 'accuracy >= 90 %'"),
        ("accuracy >= 0 x baseline", "such as 'accuracy >= 90 %'"),
        ("accuracy <= 1", "a floor is written 'accuracy >= 90 %'"),
        ("accuracy <= 98", "a floor is written 'accuracy >= 90 %'"),
        ("accuracy <= baseline + 1", "a floor is written"),
        ("size_bytes <= baseline", "'size_bytes <= baseline / 4'"),
        ("size_bytes <= baseline * 1", "'size_bytes <= baseline / 4'"),
        ("macro_f1 >= baseline - 1", "macro_f1 is a share from 0 to 1, so this allows 100 points"),
        ("macro_f1 <= 98", "no macro_f1 is above 1; a floor is written 'macro_f1 >= 90 %'"),
        ("size_bytes <= baseline + 10 kB", "'size_bytes <= baseline / 4'"),
        ("size_bytes <= 25 x baseline", "25 % of the baseline is 'size_bytes <= 0.25 x baseline'"),
        ("latency_ms <= baseline * 50", "'latency_ms <= 0.5 x baseline'"),
        ("size_bytes <= 10 MB", "'size_bytes <= baseline / 4'"),
        ("download_bytes <= 10 MB", "'download_bytes <= baseline / 4'"),
        ("parameters <= 10 M", "'parameters <= baseline / 4'"),
        ("macs <= 10 M", "'macs <= baseline / 4'"),
        ("latency_ms <= 1e9", "'latency_ms <= baseline / 4'"),
        ("size_bytes >= 0", "a limit is 'size_bytes <= ...'"),
        ("latency_ms >= 0 ms", "a limit is 'latency_ms <= ...'"),
    ],
)
def test_a_bound_that_every_candidate_meets_is_named_before_anything_is_measured(
    constraint: str, meant: str
) -> None:
    (found,) = said(constraint)
    assert found.startswith(f"{constraint}: every candidate meets it")
    assert meant in found
    assert len(said(constraint, baseline=BASELINE)) == 1


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("size_bytes <= 750 kB", "is not above the baseline, which has size_bytes 700,000 bytes"),
        ("latency_ms <= 10 ms", "which has latency_ms 2 ms"),
        ("peak_memory_bytes <= 1000 MB", "which has peak_memory_bytes 10,000,000 bytes"),
        ("accuracy >= baseline - 95 points", "the most frequent class has 20.00%"),
        ("accuracy >= baseline + 3 points", "the highest possible is 1"),
    ],
)
def test_what_takes_the_baseline_to_know_is_said_then(constraint: str, words: str) -> None:
    assert said(constraint) == ()
    (found,) = said(constraint, baseline=BASELINE)
    assert words in found


@pytest.mark.parametrize(
    "constraint",
    [
        "accuracy >= baseline - 1 point",
        "accuracy >= baseline - 0.01",
        "accuracy >= baseline - 40 points",
        "accuracy >= 90 %",
        "size_bytes <= 64 kB",
        "size_bytes <= baseline / 8",
        "size_bytes <= 0.25 x baseline",
        "latency_ms <= baseline",
        "latency_ms <= 1 ms",
        "macs <= 0.5 x baseline",
        "peak_memory_bytes <= baseline - 1 MB",
    ],
)
def test_a_bound_that_keeps_something_out_is_let_alone(constraint: str) -> None:
    techniques = TECHNIQUES | {"mirroring": {}}
    assert said(constraint, techniques=techniques) == ()
    assert said(constraint, techniques=techniques, baseline=BASELINE) == ()


def test_a_loss_of_many_points_without_a_unit_is_asked_about() -> None:
    (found,) = said("accuracy >= baseline - 0.5")
    assert "it allows 50 points" in found
    assert "for 0.5 points write 'baseline - 0.5 points'" in found


def test_a_percentage_without_its_sign_is_refused_with_what_was_meant() -> None:
    (found,) = said("accuracy >= 98")
    assert "nothing can meet" in found
    assert "such as '98 %'" in found


@pytest.mark.parametrize(
    "constraints",
    [
        ["accuracy >= baseline + 1"],
        ["accuracy <= baseline - 2"],
        ["size_bytes >= 64 MB"],
        ["accuracy >= 0.9", "accuracy <= 0.5"],
        ["accuracy >= baseline - 1 point", "accuracy <= baseline - 5 points"],
    ],
)
def test_what_no_baseline_makes_possible_is_known_before_it_is_measured(
    constraints: list[str],
) -> None:
    assert said(*constraints)[0].startswith("nothing can meet the constraints")


def test_of_two_bounds_the_weaker_one_says_nothing() -> None:
    assert said("size_bytes <= 64 kB", "size_bytes <= 32 kB") == (
        "size_bytes <= 64 kB: it excludes nothing that size_bytes <= 32 kB does not; "
        "drop one of them",
    )
    (found,) = said("accuracy >= baseline - 1 point", "accuracy >= baseline - 3 points")
    assert found.startswith("accuracy >= baseline - 3 points: it excludes nothing")
    assert said("accuracy >= baseline - 1 point", "accuracy >= 90 %") == ()
    assert len(said("accuracy >= baseline - 1 point", "accuracy >= 90 %", baseline=BASELINE)) == 1


def test_a_member_of_a_larger_student_may_be_larger_than_the_baseline() -> None:
    student = {"family": "residual", "widths": [32, 64, 128], "depths": [2, 2, 2]}
    techniques = {"family_member": {"weights": "fresh"}}
    asked = {"student": student, "techniques": techniques, "baseline": BASELINE}
    assert said("size_bytes <= baseline", **asked) == ()


def test_a_target_that_everything_meets_is_named_as_one() -> None:
    (found,) = said(stop={"target": ["accuracy >= baseline - 1"]})
    assert found.startswith("stop.target: accuracy >= baseline - 1: every candidate meets it")


def test_an_objective_in_which_no_candidate_differs_is_named() -> None:
    objectives = ["maximise accuracy", "minimise parameters"]
    (found,) = said(objectives=objectives, techniques={"quantization": {}})
    assert found.startswith("minimise parameters: all candidates have the same")
    assert said(objectives=objectives) == ()


@pytest.mark.parametrize(("classes", "is_said"), [(2, True), (5, True), (6, False)])
def test_a_metric_that_so_few_classes_leave_at_one_is_named(classes: int, is_said: bool) -> None:
    objectives = ["maximise top5_accuracy", "minimise size_bytes"]
    spec = factories.spec(
        techniques=TECHNIQUES, objectives=objectives, constraints=["top5_accuracy >= 90 %"]
    )
    data = factories.dataset_info(num_classes=classes)
    found = slack.cautions(factories.problem(spec, own=NETWORK, dataset=data))
    words = f"needs at least 6 classes to differ and the data has {classes}"
    assert [words in each for each in found] == [True, True][: 2 * is_said]


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


def test_a_running_job_says_what_its_baseline_tells_once(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(
        database, constraints=["accuracy >= baseline - 1", "latency_ms <= 10 s"]
    )
    simulated.run(database, searcher)
    with database.read() as session:
        found = [e for e in events.after(session, job_id, 0, limit=5000) if e.type == slack.EVENT]
    assert [event.data["reason"].split(":")[0] for event in found] == ["latency_ms <= 10 s"]
