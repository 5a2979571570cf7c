"""Searches that end before their trials are used up, through the real store and searcher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from compress.values.measurement import Measurement
from featherweight.rung_context import RungContext
from featherweight.specs.job import JobSpec
from featherweight.specs.states import JobState, Phase, StopReason, TrialState
from search.early_stopping import rule
from search.loop.searcher import Searcher
from search.phases import termination
from store.attempts import attempts
from store.database import clock
from store.jobs import events, jobs
from store.session import Database
from store.tables.records import RungRecord
from store.trials import ended_trials, epochs, rungs, trials
from store.trials.ended_trials import EndedTrial
from tests import factories
from tests.search import simulated

FINISH = {"trials": 2, "finalists": 1}


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


def phase_events(database: Database, job_id: str) -> list[dict[str, object]]:
    with database.read() as session:
        found = events.after(session, job_id, 0, limit=5000)
    return [event.data for event in found if event.type == "job.phase"]


def test_one_file_that_meets_the_target_ends_the_search_and_the_finalists_still_run(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(
        database,
        budget={"trials": 40, "parallel_trials": 2},
        finish=FINISH,
        stop={"target": ["accuracy >= 0.85", "size_bytes <= 30 kB"]},
    )
    simulated.run(database, searcher)

    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, StopReason.FINISHED)
    assert job.stop_detail.startswith("target: trial ")
    assert job.stop_detail.endswith("meets accuracy >= 0.85 and size_bytes <= 30 kB")
    finish = {"phase": "finish", "detail": job.stop_detail}
    assert phase_events(database, job_id)[-2:] == [finish, {"phase": "test"}]
    assert len(rows) < 40
    stopped = [row for row in rows if row.phase == Phase.SEARCH and row.num_attempts == 0]
    assert stopped
    assert {row.reason for row in stopped} == {job.stop_detail}
    met = [r for r in rows if r.phase == Phase.SEARCH and r.measurement and _meets(r.measurement)]
    assert len(met) == 1
    assert [row.state for row in rows if row.phase == Phase.FINISH] == ["complete"] * 2


def _meets(measurement: dict[str, object]) -> bool:
    found = Measurement.model_validate(measurement)
    return found.value("accuracy") >= 0.85 and found.size_bytes <= 30_000


def test_a_file_beside_the_constraints_is_not_enough(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(
        database,
        constraints=["accuracy >= baseline + 4 points"],
        budget={"trials": 12, "parallel_trials": 2},
        stop={"target": ["size_bytes <= 90 kB"]},
    )
    simulated.run(database, searcher)
    assert simulated.job(database, job_id).stop_detail == ""
    assert len(simulated.rows(database, job_id)) == 12


def test_where_longer_training_takes_too_much_of_the_seconds_rungs_and_finish_are_short(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(
        database,
        budget={"trials": 12, "parallel_trials": 1, "seconds": 4_000},
        early_stopping={"rungs": [0, 1, 3, 9]},
        finish=FINISH,
    )
    simulated.run(database, searcher, epoch_seconds=200.0)
    found = simulated.rows(database, job_id)
    tops = [row.rungs[row.rung] for row in found if row.phase == Phase.SEARCH and row.rung]
    assert max(tops) == 3
    reasons = [row.reason or "" for row in found if row.rung == 2]
    assert any("would train for 1200 s, and at most 500 s" in reason for reason in reasons)
    assert [row.rungs for row in found if row.phase == Phase.FINISH] == [[6], [6]]


def spec(**changes: object) -> JobSpec:
    return factories.spec(**changes)


def ended(*files: tuple[float, int]) -> list[EndedTrial]:
    return [
        EndedTrial(number=number, measurements=[factories.measurement(*file)])
        for number, file in enumerate(files)
    ]


def test_volumes_are_those_of_the_front_so_far_and_begin_with_its_first_file() -> None:
    limited = spec(constraints=["size_bytes <= 600 B"])
    baseline = factories.measurement(0.9, 1000)
    found = list(
        termination.volumes(
            ended((0.9, 900), (0.9, 500), (0.2, 400), (0.95, 90)), limited, baseline
        )
    )
    assert found[0] is None
    assert all(volume is not None for volume in found[1:])
    assert found[1] == found[2] < found[3]


def test_a_front_that_stops_to_grow_ends_the_search_at_the_trial_where_it_did(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(
        database,
        budget={"trials": 60, "parallel_trials": 2},
        finish=FINISH,
        sampler="random",
        stop={"no_gain": {"trials": 6, "gain": 0.002}},
    )
    simulated.run(database, searcher)

    job = simulated.job(database, job_id)
    assert job.state == JobState.SUCCEEDED
    assert job.stop_detail.startswith("no_gain: the 6 trials that ended last, up to trial ")
    with database.read() as session:
        found = ended_trials.ended(session, job_id, phase=Phase.SEARCH)
        asked, baseline = jobs.spec(job), jobs.baseline(job)
        growth = [volume or 0.0 for volume in termination.volumes(found, asked, baseline)]
    first = next(i for i in range(6, len(growth)) if growth[i] - growth[i - 6] < 0.002)
    assert f"up to trial {found[first].number}," in job.stop_detail
    assert len(found) - 1 - first <= asked.budget.parallel_trials
    assert len(simulated.rows(database, job_id)) < 60


@pytest.mark.parametrize("first_rung", [0, 2])
def test_the_epochs_of_all_search_trials_never_pass_the_budget(
    database: Database, searcher: Searcher, first_rung: int
) -> None:
    job_id = simulated.submit(
        database,
        budget={"trials": 60, "parallel_trials": 3, "epochs": 25},
        early_stopping={"rungs": [first_rung, 3, 9], "eta": 2},
        finish=FINISH,
    )
    simulated.run(
        database, searcher, fails_on=lambda assignment: assignment.number in (4, 7), limit=400
    )

    job, rows = simulated.job(database, job_id), simulated.rows(database, job_id)
    searched = [row for row in rows if row.phase == Phase.SEARCH]
    spent = sum(row.epochs or 0 for row in searched)
    with database.read() as session:
        committed = epochs.committed(session, job_id)
    assert spent <= committed <= 25
    assert 25 - committed < (first_rung or 3)
    assert job.state == JobState.SUCCEEDED
    assert job.stop_detail.startswith(f"budget_epochs: {committed} of 25 epochs are used")
    out = [row for row in searched if "(budget.epochs)" in row.reason]
    assert all(row.state == TrialState.STOPPED and row.measurement for row in out)
    assert len(rows) < 60


def test_a_rerun_comes_on_top_of_the_epochs(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(
        database,
        budget={"trials": 30, "parallel_trials": 2, "epochs": 6},
        early_stopping={"rungs": [1, 2], "eta": 2},
    )
    done = 3
    simulated.run(database, searcher, until=lambda: simulated.num_rungs(database, job_id) > done)
    with database.read() as session:
        before = epochs.committed(session, job_id)
    over = next(r for r in simulated.rows(database, job_id) if r.number and r.finished_at)
    with database.write() as session:
        trials.rerun(session, over.id, seed=77)
        assert epochs.committed(session, job_id) == before
    simulated.run(database, searcher)
    assert simulated.is_finished(database, job_id)


def test_a_restarted_searcher_ends_the_search_at_the_same_trial(
    database: Database, study_url: str
) -> None:
    rules = {
        "budget": {"trials": 40, "parallel_trials": 1, "epochs": 14},
        "stop": {"no_gain": {"trials": 9, "gain": 0.01}, "target": ["size_bytes <= 4 kB"]},
    }
    ends = []
    for restarts in (False, True):
        job_id = simulated.submit(database, **rules)
        while not simulated.is_finished(database, job_id):
            with closing(Searcher(database, study_url, simulated.settings())) as searcher:
                until = (lambda: True) if restarts else (lambda: False)
                simulated.run(database, searcher, until=until)
            simulated.work_once(database)
        ends.append(
            (simulated.job(database, job_id).stop_detail, simulated.candidates(database, job_id))
        )
    assert ends[0] == ends[1]
    assert ends[0][0]


@pytest.mark.cross("tie_break", "extrapolate")
@pytest.mark.parametrize("extrapolate", [False, True])
@pytest.mark.parametrize("tie_break", ["auto", "hypervolume", "net", "front"])
def test_every_decision_can_be_repeated_from_the_rungs_before_it(
    database: Database, searcher: Searcher, tie_break: str, extrapolate: bool
) -> None:
    job_id = simulated.submit(
        database,
        budget={"trials": 30, "parallel_trials": 2},
        early_stopping={
            "rungs": [0, 1, 3],
            "eta": 2,
            "tie_break": tie_break,
            "extrapolate": extrapolate,
        },
        sampler="random",
    )
    simulated.run(database, searcher)

    job = simulated.job(database, job_id)
    with database.read() as session:
        written = [r for r in rungs.of_job(session, job_id) if r.phase == Phase.SEARCH]
    repeated = [
        rule.judge(_as_it_was(row, written[:index], jobs.spec(job), jobs.baseline(job)))
        for index, row in enumerate(written)
    ]
    assert [d.model_dump(mode="json") for d in repeated] == [row.decision for row in written]
    ties = [decision.tie_break for decision in repeated if decision.tie_break is not None]
    assert ties or tie_break in ("front", "auto")
    assert any(decision.room is not None for decision in repeated)
    assert any(decision.extrapolated is not None for decision in repeated) == extrapolate


def _as_it_was(
    row: RungRecord, before: list[RungRecord], spec: JobSpec, baseline: Measurement | None
) -> RungContext:
    curves: dict[str, list[Measurement]] = {}
    for each in before:
        curves.setdefault(each.trial_id, []).append(Measurement.model_validate(each.measurement))
    own = [*curves.pop(row.trial_id, []), Measurement.model_validate(row.measurement)]
    there = sorted(key for key, curve in curves.items() if len(curve) > row.rung)
    return RungContext(
        spec=spec,
        phase=Phase.SEARCH,
        rung=row.rung,
        rungs=spec.early_stopping.rungs,
        measurement=own[-1],
        baseline=baseline,
        peers=[curves[key][row.rung] for key in there],
        curve=[each.value("accuracy") for each in own],
        peer_curves=[[each.value("accuracy") for each in curves[key]] for key in there],
    )


def test_a_clock_that_jumps_back_neither_ends_nor_breaks_a_search(
    database: Database, study_url: str
) -> None:
    yesterday = clock.utc_now() - timedelta(days=1)
    job_id = simulated.submit(database, budget={"trials": 6, "seconds": 600})
    with closing(
        Searcher(database, study_url, simulated.settings(), now=lambda: yesterday)
    ) as searcher:
        simulated.run(database, searcher)
    job = simulated.job(database, job_id)
    assert jobs.running_seconds(job, yesterday) >= 0
    assert (job.state, job.stop_detail) == (JobState.SUCCEEDED, "")
    assert len(simulated.rows(database, job_id)) == 6


def test_a_trial_whose_worker_was_lost_keeps_what_it_was_promised(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(
        database,
        budget={"trials": 9, "epochs": 9, "parallel_trials": 2},
        early_stopping={"rungs": [0, 9], "eta": 3},
    )
    simulated.settle(searcher)
    simulated.work_once(database)
    simulated.settle(searcher)
    with database.write() as session:
        lost = factories.must_claim(session, "gone", lease_seconds=factories.OVER)
        report = factories.report_of(session, lost, measured=factories.measurement(0.9, 50_000))
        first = attempts.report(session, lost.attempt, lost.token, report, decide=rule.judge)
    assert not first.stop
    with database.write() as session:
        attempts.reap(session)
        assert epochs.committed(session, job_id) == 9
    simulated.run(database, searcher)
    rows = simulated.rows(database, job_id)
    assert rows[lost.number].epochs == 9
    assert sum(row.epochs or 0 for row in rows if row.phase == Phase.SEARCH) == 9
