"""A job that starts from finished ones: their fronts first, their trials as history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import optuna
import pytest

from featherweight.specs.states import JobState, TrialState
from search.errors import WarmStartDoesNotFit
from search.loop.searcher import Searcher
from search.study import close_storage, history, open_storage, rebuild
from search.study.frozen import PRIOR
from store.jobs import jobs, warm_starts
from store.session import Database
from store.trials import candidates, trials
from tests.search import simulated, warming

SMALL = {
    "techniques": {"filter_pruning": {}, "quantization": {"weight_bits": [4, 8]}},
    "budget": {"trials": 12, "parallel_trials": 2},
    "finish": {"trials": 2, "finalists": 2},
    "sampler": "tpe",
}


@pytest.fixture
def searcher(database: Database, study_url: str) -> Iterator[Searcher]:
    with closing(Searcher(database, study_url, simulated.settings())) as opened:
        yield opened


@pytest.fixture
def source(database: Database, searcher: Searcher) -> str:
    """A finished job on an uploaded model."""
    job_id = warming.submit(database, model="network", **SMALL)
    simulated.run(database, searcher)
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED
    return job_id


def again(database: Database, **changes: object) -> str:
    return warming.submit(database, **({"model": "network"} | SMALL | changes))


def proposed(database: Database, job_id: str) -> list[candidates.CandidateRecord]:
    with database.read() as session:
        return candidates.page(session, job_id, limit=100)[0]


def study_trials(study_url: str, job_id: str) -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(study_url)
    try:
        return optuna.load_study(study_name=job_id, storage=storage).trials
    finally:
        close_storage(storage)


def facts(trials: list[optuna.trial.FrozenTrial]) -> list[tuple[object, ...]]:
    """Optuna keeps the binary noise of a grid, our tables do not."""
    return [
        (
            trial.state,
            {name: round(value, 10) for name, value in trial.params.items()},
            trial.values,
            trial.constraints,
            trial.user_attrs,
        )
        for trial in trials
    ]


def test_the_candidates_of_a_front_are_run_again_before_everything_else(
    database: Database, searcher: Searcher, source: str
) -> None:
    job_id = again(database, warm_start={"jobs": [source], "candidates": 3})
    opening = proposed(database, job_id)
    simulated.run(database, searcher)

    tried_before = {row.candidate_digest for row in simulated.rows(database, source)[1:]}
    rows = simulated.rows(database, job_id)
    assert len(opening) == 3
    assert [row.origin for row in rows[1:4]] == ["warm"] * 3
    assert [row.candidate_digest for row in rows[1:4]] == [one.candidate_digest for one in opening]
    assert {row.candidate_digest for row in rows[1:4]} <= tried_before
    assert all(row.measurement is not None for row in rows[1:4])
    assert [row.number for row in rows] == list(range(12))
    assert simulated.job(database, job_id).state == JobState.SUCCEEDED
    assert all(f"of job {source}" in one.note for one in opening)


def test_the_sampler_knows_the_trials_of_the_same_space_model_and_data(
    database: Database, searcher: Searcher, study_url: str, source: str
) -> None:
    job_id = again(database, warm_start={"jobs": [source], "candidates": 1})
    simulated.run(database, searcher)

    before = [row for row in simulated.rows(database, source) if row.phase == "search"]
    told = study_trials(study_url, job_id)
    prior = [trial for trial in told if trial.user_attrs.get(PRIOR)]
    assert [trial.user_attrs["trial"] for trial in prior] == [row.id for row in before]
    assert [trial.number for trial in prior] == list(range(len(before)))
    assert all(trial.values and trial.user_attrs["job"] == source for trial in prior)
    own = [row for row in simulated.rows(database, job_id) if row.phase == "search"]
    assert len(own) == 9
    assert {row.study_number for row in own} == {
        trial.number for trial in told if trial.user_attrs.get("trial") in {row.id for row in own}
    }
    assert min(row.study_number or 0 for row in own) == len(before)


def test_history_is_held_against_the_constraints_of_the_new_job(
    database: Database, searcher: Searcher, study_url: str, source: str
) -> None:
    limit = {"constraints": ["size_bytes <= 20 kB"]}
    job_id = again(database, warm_start={"jobs": [source]}, **limit)
    simulated.run(database, searcher)
    prior = [t for t in study_trials(study_url, job_id) if t.user_attrs.get(PRIOR)]
    sizes = {t.number: (t.values[1] - 20_000) / 20_000 for t in prior}
    assert prior
    assert {t.number: t.constraints["size_bytes <= 20 kB"] for t in prior} == pytest.approx(sizes)


def test_a_study_that_was_rebuilt_has_its_history_again(
    database: Database, study_url: str, source: str, searcher: Searcher
) -> None:
    job_id = again(database, warm_start={"jobs": [source]})
    simulated.run(database, searcher)
    searcher.close()
    before = [t for t in study_trials(study_url, job_id) if "copy_of" not in t.user_attrs]
    assert rebuild(database, study_url, job_id) == 9
    after = study_trials(study_url, job_id)
    assert facts(after) == facts(before)
    assert [row.study_number for row in simulated.rows(database, job_id)[1:10]] == [
        trial.number for trial in after if not trial.user_attrs.get(PRIOR)
    ]


def test_a_study_without_its_history_is_made_again(
    database: Database, study_url: str, source: str, searcher: Searcher
) -> None:
    searcher.close()
    job_id = again(database, warm_start={"jobs": [source]})
    with closing(Searcher(database, study_url, simulated.settings())) as first:
        simulated.run(database, first, until=lambda: simulated.num_rungs(database, job_id) > 3)
    storage = open_storage(study_url)
    storage.delete_study(storage.get_study_id_from_name(job_id))
    close_storage(storage)
    with closing(Searcher(database, study_url, simulated.settings())) as second:
        simulated.run(database, second)
    prior = [t for t in study_trials(study_url, job_id) if t.user_attrs.get(PRIOR)]
    assert len(prior) == 9
    assert len(simulated.rows(database, job_id)) == 12


OTHER = {"filter_pruning": {"ratios": [0.0, 0.5]}, "sparsity": {"sparsity": [0.0, 0.3, 0.5]}}


def test_from_another_space_candidates_are_snapped_and_nothing_is_history(
    database: Database, searcher: Searcher, study_url: str, source: str
) -> None:
    changes = {"techniques": OTHER, "warm_start": {"jobs": [source], "candidates": 2}}
    job_id = again(database, **changes)
    opening = proposed(database, job_id)
    simulated.run(database, searcher)

    assert 1 <= len(opening) <= 2
    for one in opening:
        assert one.params is not None
        assert {one.params["filter_pruning.ratios.0"], one.params["filter_pruning.ratios.1"]} <= {
            0.0,
            0.5,
        }
        assert "snapped to the values of this job" in one.note
    assert any("no knob for quantization" in one.note for one in opening)
    assert not any(t.user_attrs.get(PRIOR) for t in study_trials(study_url, job_id))
    assert len(simulated.rows(database, job_id)) == 12


@pytest.mark.parametrize(
    ("changes", "is_history"),
    [
        ({}, True),
        ({"seed": 5}, True),
        ({"constraints": ["size_bytes <= 50 kB"]}, True),
        ({"model": "another"}, False),
        ({"data": "others"}, False),
        ({"techniques": {"filter_pruning": {}, "quantization": {}}}, False),
        ({"recovery": {"learning_rate": 0.1}}, False),
        ({"recovery": {"learning_rate": 0.02}}, True),
        ({"recovery": {"augment": "by_channels"}}, False),
        ({"target": "plain"}, False),
    ],
)
def test_history_is_only_what_would_be_measured_again(
    database: Database, source: str, changes: dict[str, object], is_history: bool
) -> None:
    job_id = again(database, **({"warm_start": {"jobs": [source]}} | changes))
    with database.read() as session:
        [found] = warm_starts.sources(session, job_id)
    assert (found.source_id, found.is_history) == (source, is_history)


def test_what_an_older_revision_of_the_engine_measured_opens_but_is_no_history(
    database: Database, source: str
) -> None:
    with database.write() as session:
        job = jobs.get(session, source)
        assert job.baseline is not None
        job.baseline = {k: v for k, v in job.baseline.items() if k != "engine_revision"}
    job_id = again(database, warm_start={"jobs": [source]})
    with database.read() as session:
        [found] = warm_starts.sources(session, job_id)
    assert not found.is_history
    opening = proposed(database, job_id)
    assert opening
    assert all("measured by revision 1 of the engine" in one.note for one in opening)


def test_a_trial_of_another_revision_than_its_baseline_is_no_history(
    database: Database, source: str
) -> None:
    job_id = again(database, warm_start={"jobs": [source]})
    with database.read() as session:
        before = len(history.of(session, jobs.get(session, job_id)))
    with database.write() as session:
        row = next(row for row in trials.of_job(session, source) if row.phase == "search")
        assert row.measurement is not None
        row.measurement = row.measurement | {"engine_revision": 1}
    with database.read() as session:
        assert len(history.of(session, jobs.get(session, job_id))) == before - 1


def test_a_model_trained_here_is_the_same_with_the_same_seed_only(
    database: Database, searcher: Searcher
) -> None:
    source = warming.submit(database, **SMALL)
    simulated.run(database, searcher)
    found = []
    for seed in (0, 1):
        start = {"warm_start": {"jobs": [source]}, "seed": seed}
        job_id = warming.submit(database, **(SMALL | start))
        with database.read() as session:
            found += [one.is_history for one in warm_starts.sources(session, job_id)]
    assert found == [True, False]


def test_auto_prefers_the_same_model_and_data_then_takes_what_is_near(
    database: Database, searcher: Searcher, source: str
) -> None:
    def sources(**changes: object) -> list[str]:
        job_id = again(database, **({"warm_start": {"auto": True}} | changes))
        with database.read() as session:
            return [one.source_id for one in warm_starts.sources(session, job_id)]

    assert sources() == [source]
    assert sources(model="another") == [source]
    assert sources(model="another", data="others") == [source]
    other_techniques = {"distillation": {"temperature": [2.0, 4.0]}}
    assert sources(techniques=other_techniques) == []


def test_fronts_of_several_jobs_take_turns(
    database: Database, searcher: Searcher, source: str
) -> None:
    second = again(database, seed=7)
    simulated.run(database, searcher)
    job_id = again(database, warm_start={"jobs": [second, source], "candidates": 4})
    notes = [one.note for one in proposed(database, job_id)]
    assert len(notes) >= 2
    assert second in notes[0]
    assert source in notes[1]


def test_no_more_candidates_open_than_the_search_has_trials(
    database: Database, searcher: Searcher, source: str
) -> None:
    budget = {"trials": 3, "parallel_trials": 1}
    finish = {"trials": 1, "finalists": 1}
    start = {"jobs": [source], "candidates": 9}
    job_id = again(database, budget=budget, finish=finish, warm_start=start)
    simulated.run(database, searcher)
    assert [row.origin for row in simulated.rows(database, job_id)] == [
        "baseline",
        "warm",
        "finish",
    ]


@pytest.mark.parametrize(
    ("named", "changes", "words"),
    [
        ("nothing", {}, "there is no job 'nothing'"),
        ("running", {}, "is queued: wait for its end"),
        ("source", {"techniques": {"sparsity": {}}}, "none of the knobs that this job turns"),
        ("unmeasured", {}, "ended before its baseline was measured"),
    ],
)
def test_a_job_that_cannot_be_started_from_is_refused_with_the_reason(
    database: Database, source: str, named: str, changes: dict[str, object], words: str
) -> None:
    known = {"nothing": "nothing", "source": source}
    if named in ("running", "unmeasured"):
        known[named] = again(database)
    if named == "unmeasured":
        with database.write() as session:
            jobs.cancel(session, known[named])
            jobs.move(session, jobs.get(session, known[named]), JobState.CANCELLED)
    with pytest.raises(WarmStartDoesNotFit, match=words):
        again(database, **({"warm_start": {"jobs": [known[named]]}} | changes))


def test_a_front_of_nothing_but_the_baseline_is_nothing_to_start_from(
    database: Database, searcher: Searcher
) -> None:
    source = again(database)
    simulated.run(database, searcher, fails_on=lambda assignment: assignment.number > 0)
    failed = {row.state for row in simulated.rows(database, source)[1:]}
    assert failed == {TrialState.FAILED}
    with pytest.raises(WarmStartDoesNotFit, match="other than the baseline"):
        again(database, warm_start={"jobs": [source]})
    assert proposed(database, again(database, warm_start={"auto": True})) == []
