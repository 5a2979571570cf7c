"""Candidates that cannot enter the front are refused before they cost anything; others never."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.network.families import layout
from compress.network.families.residual.config import Residual
from compress.techniques.candidate import Candidate
from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.states import JobState, Phase, StopReason
from search.admission import bounds_filter
from search.admission.bounds_filter import BoundsFilter
from search.loop.searcher import Searcher
from search.space import feasibility
from store.jobs import events, rejections
from store.session import Database
from tests import factories
from tests.search import simulated

RESIDUAL = Residual(widths=(16, 32, 64), depths=(3, 3, 3))
OUTLINE = factories.outline(RESIDUAL, input_shape=(3, 32, 32), num_classes=10)
TECHNIQUES = {"family_member": {}, "filter_pruning": {}, "quantization": {}}
COUNTED = {"parameters": 270_000, "macs": 40_000_000}
BASELINE = factories.measurement(0.92, 1_080_000, **COUNTED)


def spec(**changes: object) -> JobSpec:
    return factories.spec(**{"techniques": TECHNIQUES, **changes})


def bounds(*, baseline: Measurement = BASELINE, **changes: object) -> BoundsFilter:
    dataset = factories.dataset_info(num_classes=10, input_shape=(3, 32, 32))
    problem = factories.problem(spec(**changes), own=RESIDUAL, dataset=dataset, baseline=baseline)
    found = bounds_filter.of_problem(problem)
    assert found is not None
    return found


def candidate(*steps: dict[str, object]) -> Candidate:
    return Candidate.model_validate({"steps": list(steps)})


def member(width: float) -> Candidate:
    return candidate({"technique": "family_member", "width": width, "depth": 3})


@given(
    width=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    ratio=st.sampled_from([0.0, 0.3, 0.7]),
    bits=st.sampled_from([2, 8]),
)
def test_the_bounds_of_a_candidate_are_never_above_what_its_layers_count(
    width: float, ratio: float, bits: int
) -> None:
    steps = [
        {"technique": "family_member", "width": width, "depth": 3},
        {"technique": "filter_pruning", "ratios": [ratio] * 3},
        {"technique": "quantization", "weight_bits": bits},
    ]
    widths = tuple(max(1, round(width * full)) for full in RESIDUAL.widths)
    kept = tuple(full - int(ratio * full) for full in widths)
    smaller = Residual(widths=kept, depths=(3, 3, 3))
    found = feasibility.candidate_bounds(spec(), candidate(*steps), OUTLINE)
    parameters = layout.parameters(smaller, in_channels=3, num_classes=10)
    macs = layout.macs(smaller, in_channels=3, num_classes=10, height=32, width=32)
    assert 0.3 * parameters < found.parameters <= parameters
    assert 0.3 * macs < found.macs <= macs


def test_no_candidate_is_below_the_bounds_of_its_space() -> None:
    space = bounds().of_space
    for width in (0.5, 1.0):
        own = feasibility.candidate_bounds(spec(), member(width), OUTLINE)
        assert space.parameters <= own.parameters
        assert space.macs <= own.macs
        assert space.size_bytes <= own.size_bytes


def test_a_candidate_with_more_than_a_limit_allows_is_refused_with_its_violation() -> None:
    at = bounds(constraints=["parameters <= 100 k", "accuracy >= 90 %", "latency_ms <= 1 ms"])
    refused = at.rejection(member(1.0), [])
    assert refused is not None
    assert refused.reason.startswith("parameters <= 100 k is violated by at least 1")
    assert refused.violations["parameters <= 100 k"] > 1.5
    assert refused.violations["accuracy >= 90 %"] == refused.violations["latency_ms <= 1 ms"] == 0
    assert refused.values[0] == BASELINE.value("accuracy")
    assert at.rejection(member(0.5), []) is None


def test_where_nothing_can_meet_a_limit_the_nearest_is_looked_for() -> None:
    at = bounds(constraints=["parameters <= 10"])
    assert at.rejection(member(1.0), []) is None


def test_only_a_file_as_accurate_as_any_may_become_keeps_a_dominated_candidate_out() -> None:
    at = bounds(objectives=["maximise accuracy", "minimise parameters"])
    assert at.best_score == pytest.approx(0.96)
    small = {"parameters": 100_000, "macs": 10_000_000}
    good = factories.measurement(0.961, 400_000, **small)
    assert at.rejection(member(1.0), [factories.measurement(0.959, 400_000, **small)]) is None
    refused = at.rejection(member(1.0), [good])
    assert refused is not None
    assert (refused.violations, refused.values) == ({}, ())
    assert at.rejection(member(0.5), [good]) is None


def test_another_quality_keeps_a_candidate_out_like_accuracy() -> None:
    asked = {"objectives": ["maximise macro_f1", "minimise parameters"]}
    first = BASELINE.model_copy(update={"quality": factories.quality(macro_f1=0.9)})
    at = bounds(baseline=first, **asked)
    small = {"parameters": 100_000, "macs": 10_000_000}
    files = [
        factories.measurement(0.99, 400_000, quality=factories.quality(macro_f1=score), **small)
        for score in (0.94, 0.96)
    ]
    assert bounds_filter.has_use(spec(**asked))
    assert at.rejection(member(1.0), files[:1]) is None
    assert at.rejection(member(1.0), files[1:]) is not None


@pytest.mark.parametrize("metric", ["latency_ms", "download_bytes", "peak_memory_bytes"])
def test_what_is_not_known_beforehand_keeps_nobody_out(metric: str) -> None:
    asked = spec(objectives=["maximise accuracy", f"minimise {metric}"])
    perfect = factories.measurement(1.0, 1, parameters=1, macs=1)
    assert (
        bounds(
            objectives=["maximise accuracy", f"minimise {metric}"],
            constraints=["parameters <= 10 M"],
        ).rejection(member(1.0), [perfect])
        is None
    )
    assert not bounds_filter.has_use(asked)
    assert bounds_filter.has_use(spec(constraints=["macs <= 10 M"], objectives=asked.objectives))


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


LIMITED = {
    "constraints": ["parameters <= 500"],
    "techniques": {
        "family_member": {"width": [0.25, 0.5, 0.75, 1.0], "depth": [1]},
        "quantization": {},
    },
    "budget": {"trials": 13, "parallel_trials": 2},
    "sampler": "random",
}
"""The network of ``factories`` has about 2,000 parameters."""


def refused_events(database: Database, job_id: str) -> list[dict[str, object]]:
    with database.read() as session:
        found = events.after(session, job_id, 0, limit=5000)
    return [event.data for event in found if event.type == rejections.TYPE]


def test_the_budget_counts_only_what_was_tried(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, **LIMITED)
    simulated.run(database, searcher)

    rows, said = simulated.rows(database, job_id), refused_events(database, job_id)
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED
    assert [row.number for row in rows] == list(range(len(rows)))
    refused = {event["digest"] for event in said}
    assert refused
    assert len(refused) == len(said)
    tried = [row for row in rows if row.phase == Phase.SEARCH and row.origin == "sampler"]
    assert tried
    assert not refused & {row.candidate_digest for row in tried}
    assert all("parameters <= 500 is violated" in str(event["reason"]) for event in said)
    with database.read() as session:
        assert rejections.count(session, job_id) == len(said)


def test_the_study_learns_of_the_violation(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, **LIMITED)
    simulated.run(database, searcher, until=lambda: bool(refused_events(database, job_id)))
    told = [t for t in searcher._studies[job_id].study.study.trials if "refused" in t.user_attrs]
    assert told
    for trial in told:
        assert trial.state.name == "COMPLETE"
        assert trial.constraints["parameters <= 500"] > 0


def test_a_restarted_searcher_refuses_and_tries_the_same(
    database: Database, study_url: str
) -> None:
    found = []
    for restarts in (False, True):
        job_id = simulated.submit(database, **LIMITED)
        while not simulated.is_finished(database, job_id):
            with closing(Searcher(database, study_url, simulated.settings())) as one:
                simulated.run(database, one, until=lambda stop=restarts: stop)
            simulated.work_once(database)
        said = [event["digest"] for event in refused_events(database, job_id)]
        found.append((simulated.candidates(database, job_id), said))
    assert found[0] == found[1]


def test_a_space_of_one_candidate_ends_with_it(database: Database, searcher: Searcher) -> None:
    techniques = {"quantization": {"weight_bits": 8}}
    job_id = simulated.submit(
        database, techniques=techniques, controls=False, budget={"trials": 9, "parallel_trials": 2}
    )
    simulated.run(database, searcher)
    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, StopReason.FINISHED)
    assert "no further candidate" in job.stop_detail
    assert len([row for row in rows if row.phase == Phase.SEARCH]) == 1


def test_a_measurement_of_nothing_but_numbers() -> None:
    with pytest.raises(ValueError, match="accuracy on validation must be within 0 and 1"):
        factories.measurement(float("nan"))
    with pytest.raises(ValueError, match="finite"):
        Measurement.model_validate(
            {**factories.measurement().model_dump(), "seconds": {"train": float("nan")}}
        )
