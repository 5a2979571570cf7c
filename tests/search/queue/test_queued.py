"""Candidates that somebody proposed: first in line, once each, and within the budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import optuna
import pytest

from compress.techniques.candidate import Candidate
from featherweight.specs.states import JobState, Phase, TrialState
from search.loop.searcher import Searcher
from search.phases import transitions
from search.space.stored_problem import problem_of
from search.study import close_storage, open_storage
from store.database import clock
from store.jobs import jobs
from store.session import Database
from store.trials import candidates, trials
from store.trials.candidates import ProposedCandidate
from tests import factories
from tests.search import simulated

SMALL = {"budget": {"trials": 12, "parallel_trials": 2}, "finish": {"trials": 3, "finalists": 2}}
INSIDE = {
    "filter_pruning.ratios.0": 0.5,
    "filter_pruning.ratios.1": 0.3,
    "quantization.weight_bits": 4,
}
OUTSIDE = factories.candidate(0.123)


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


def propose(
    database: Database, job_id: str, *, params: dict[str, object] | None = None,
    candidate: Candidate | None = None, origin: str = candidates.USER,
) -> str:  # fmt: skip
    with database.write() as session:
        job = jobs.get(session, job_id)
        if params is not None:
            space = problem_of(session, job).space
            params = {knob.name: params[knob.name] for knob in space.turning}
            candidate = space.candidate(params)
        assert candidate is not None
        proposed = ProposedCandidate(candidate=candidate, params=params)
        return candidates.add(session, job, proposed, origin=origin).id


def record(database: Database, job_id: str, candidate_id: str) -> candidates.CandidateRecord:
    with database.read() as session:
        [found] = [
            one for one in candidates.page(session, job_id, limit=100)[0] if one.id == candidate_id
        ]
        return found


def in_study(study_url: str, job_id: str) -> dict[int, optuna.trial.FrozenTrial]:
    storage = open_storage(study_url)
    try:
        return {t.number: t for t in optuna.load_study(study_name=job_id, storage=storage).trials}
    finally:
        close_storage(storage)


def test_a_candidate_proposed_before_the_search_is_its_first_trial(
    database: Database, searcher: Searcher, study_url: str
) -> None:
    job_id = simulated.submit(database, **SMALL)
    inside = propose(database, job_id, params=INSIDE)
    outside = propose(database, job_id, candidate=OUTSIDE)
    simulated.run(database, searcher)

    rows = simulated.rows(database, job_id)
    assert [row.phase for row in rows] == ["baseline"] + ["search"] * 8 + ["finish"] * 3
    assert [row.origin for row in rows[1:5]] == ["user", "user", "control", "control"]
    assert record(database, job_id, inside).trial_id == rows[1].id
    assert record(database, job_id, outside).trial_id == rows[2].id
    known = in_study(study_url, job_id)[rows[1].study_number or 0]
    assert (known.user_attrs["trial"], known.user_attrs["origin"]) == (rows[1].id, "user")
    assert (rows[2].study_number, rows[2].params, rows[2].told) == (None, None, True)
    assert rows[2].id not in {
        t.user_attrs.get("trial") for t in in_study(study_url, job_id).values()
    }
    assert rows[2].measurement is not None


def test_one_proposed_in_the_middle_goes_before_the_samplers_next(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher, until=lambda: simulated.num_rungs(database, job_id) > 3)
    made = len(simulated.rows(database, job_id))
    propose(database, job_id, params=INSIDE)
    simulated.run(database, searcher)

    rows = simulated.rows(database, job_id)
    assert rows[made].origin == "user"
    assert len(rows) == 12
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED


def test_all_of_the_search_may_be_proposed_and_the_sampler_gets_nothing(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    for number in range(8):
        propose(database, job_id, candidate=factories.candidate(0.01 * (number + 1)))
    simulated.run(database, searcher)

    rows = simulated.rows(database, job_id)
    assert [row.origin for row in rows] == ["baseline"] + ["user"] * 8 + ["finish"] * 3
    assert [row.number for row in rows] == list(range(12))


def test_a_control_that_was_proposed_already_is_not_tried_again(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    with database.read() as session:
        space = problem_of(session, jobs.get(session, job_id)).space
    [(_, params), *_] = space.controls()
    propose(database, job_id, params=dict(params))
    simulated.run(database, searcher)

    rows = simulated.rows(database, job_id)
    assert len({row.candidate_digest for row in rows[:9]}) == 9
    assert [row.origin for row in rows[1:4]] == ["user", "control", "sampler"]


def test_what_the_sampler_made_meanwhile_is_pointed_to_and_not_run_twice(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher, until=lambda: simulated.num_rungs(database, job_id) > 3)
    first = simulated.rows(database, job_id)[1]
    # As if it had been proposed in the moment in which the sampler proposed it.
    known = propose(database, job_id, candidate=Candidate.model_validate(first.candidate))
    simulated.run(database, searcher)

    assert record(database, job_id, known).trial_id == first.id
    assert len(simulated.rows(database, job_id)) == 12
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED


def test_a_paused_job_tries_them_once_it_goes_on(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher, until=lambda: simulated.num_rungs(database, job_id) > 3)
    with database.write() as session:
        jobs.pause(session, job_id)
    proposed = propose(database, job_id, params=INSIDE)
    simulated.settle(searcher)
    assert record(database, job_id, proposed).trial_id is None
    with database.write() as session:
        jobs.resume(session, job_id)
    simulated.run(database, searcher)
    assert record(database, job_id, proposed).trial_id is not None


def test_when_the_seconds_are_over_they_are_dropped_and_the_job_ends(
    database: Database, study_url: str
) -> None:
    late = clock.utc_now() + timedelta(hours=1)
    budget = {"trials": 20, "seconds": 600, "parallel_trials": 2}
    job_id = simulated.submit(database, budget=budget)
    with closing(Searcher(database, study_url, simulated.settings())) as early:
        simulated.run(database, early, until=lambda: simulated.num_rungs(database, job_id) > 3)
    proposed = propose(database, job_id, params=INSIDE)
    with closing(Searcher(database, study_url, simulated.settings(), now=lambda: late)) as slow:
        simulated.run(database, slow)

    assert record(database, job_id, proposed).dropped == transitions.BUDGET_SECONDS
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED


def test_a_cancelled_job_drops_what_waits(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, **SMALL)
    proposed = propose(database, job_id, params=INSIDE)
    with database.write() as session:
        jobs.cancel(session, job_id)
    simulated.settle(searcher)
    assert record(database, job_id, proposed).dropped == "cancelled"
    assert simulated.job(database, job_id).state == JobState.CANCELLED


def test_one_that_fails_counts_and_does_not_end_the_job(
    database: Database, searcher: Searcher
) -> None:
    job_id = simulated.submit(database, **SMALL)
    propose(database, job_id, candidate=OUTSIDE)
    simulated.run(database, searcher, fails_on=lambda assignment: assignment.number == 1)

    rows = simulated.rows(database, job_id)
    assert (rows[1].origin, rows[1].state) == ("user", TrialState.FAILED)
    assert len(rows) == 12


def test_the_search_is_not_left_while_one_waits(database: Database, searcher: Searcher) -> None:
    job_id = simulated.submit(database, **SMALL)
    simulated.run(database, searcher, until=lambda: simulated.num_rungs(database, job_id) > 3)
    with database.write() as session:
        trials.stop_waiting(session, jobs.lock(session, job_id), "test", phase=Phase.SEARCH)
    propose(database, job_id, candidate=OUTSIDE)
    with database.write() as session:
        assert not transitions.leave_search(session, jobs.lock(session, job_id))
