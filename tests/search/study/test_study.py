"""The study is a projection: it can be lost, rebuilt, and never decides what is true."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url

from search.errors import SearcherRunning, StudySchemaOutdated
from search.loop.searcher import Searcher
from search.study import close_storage, migrate, open_storage, rebuild
from store.session import Database
from store.settings import StoreSettings
from tests.search import simulated

CHANGES = {
    "budget": {"trials": 12, "parallel_trials": 2},
    "constraints": ["accuracy >= baseline - 3 points", "size_bytes <= 60 kB"],
}


@contextmanager
def study(study_url: str, job_id: str) -> Iterator[optuna.Study]:
    storage = open_storage(study_url)
    try:
        yield optuna.load_study(study_name=job_id, storage=storage)
    finally:
        close_storage(storage)


def facts(trial: FrozenTrial) -> tuple[object, ...]:
    """Optuna keeps the binary noise of a grid, our tables do not."""
    attrs = dict(sorted(trial.user_attrs.items()))
    params = {name: round(value, 10) for name, value in trial.params.items()}
    return trial.state, params, trial.values, trial.constraints, attrs, trial.distributions


def originals(study_url: str, job_id: str) -> dict[str, tuple[object, ...]]:
    """What the study says of each of our trials; copies are not among them."""
    with study(study_url, job_id) as opened:
        return {t.user_attrs["trial"]: facts(t) for t in opened.trials if "trial" in t.user_attrs}


def searched(database: Database, study_url: str, *, until_rungs: int | None = None) -> str:
    job_id = simulated.submit(database, **CHANGES)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(
            database,
            searcher,
            until=lambda: (
                bool(until_rungs) and simulated.num_rungs(database, job_id) >= until_rungs
            ),
        )
    return job_id


def test_the_study_knows_values_constraints_and_attributes_of_every_search_trial(
    database: Database, study_url: str
) -> None:
    job_id = searched(database, study_url)
    known = originals(study_url, job_id)
    rows = [row for row in simulated.rows(database, job_id) if row.phase == "search"]

    assert list(known) == [row.id for row in rows]
    for row in rows:
        state, params, values, constraints, attrs, _ = known[row.id]
        assert state == TrialState.COMPLETE
        assert params == row.params
        assert values == [row.measurement["accuracy"]["validation"], row.measurement["size_bytes"]]
        assert set(constraints) == set(CHANGES["constraints"])
        assert max(constraints.values()) == pytest.approx(row.violation)
        assert (attrs["state"], attrs["rung"]) == (row.state, row.rung)
        assert attrs["origin"] == row.origin
        assert attrs["rungs"][-1]["values"] == values
        assert attrs["rungs"][-1]["constraints"] == constraints
    curves = {trial: [r["epochs"] for r in found[4]["rungs"]] for trial, found in known.items()}
    assert curves == simulated.epochs_of_rungs(database, job_id)
    assert len(set(map(tuple, curves.values()))) > 1, "nobody was stopped"


def test_a_rebuilt_study_equals_the_original(database: Database, study_url: str) -> None:
    job_id = searched(database, study_url)
    before = originals(study_url, job_id)
    assert rebuild(database, study_url, job_id) == len(before) > 5
    assert originals(study_url, job_id) == before
    numbers = [r.study_number for r in simulated.rows(database, job_id) if r.phase == "search"]
    assert numbers == list(range(len(before)))


def test_a_rebuilt_study_keeps_unfinished_trials_running_and_the_job_goes_on(
    database: Database, study_url: str
) -> None:
    job_id = searched(database, study_url, until_rungs=5)
    rebuild(database, study_url, job_id)
    with study(study_url, job_id) as opened:
        states = {trial.state for trial in opened.trials}
    assert states == {TrialState.COMPLETE, TrialState.RUNNING}

    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)
    assert simulated.is_finished(database, job_id)
    assert len(simulated.rows(database, job_id)) == 12


def test_a_lost_study_is_made_again_by_the_searcher_itself(
    database: Database, study_url: str
) -> None:
    job_id = searched(database, study_url, until_rungs=6)
    before = originals(study_url, job_id)
    storage = open_storage(study_url)
    optuna.delete_study(study_name=job_id, storage=storage)
    close_storage(storage)

    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)
    after = originals(study_url, job_id)
    assert simulated.is_finished(database, job_id)
    assert {trial: after[trial] for trial in before} == before
    assert len(simulated.rows(database, job_id)) == 12


def test_failed_trials_are_failures_to_the_study(database: Database, study_url: str) -> None:
    job_id = simulated.submit(database, **CHANGES)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher, fails_on=lambda assignment: assignment.number == 3)
    failed = next(r for r in simulated.rows(database, job_id) if r.state == "failed")
    state, _, values, constraints, _, _ = originals(study_url, job_id)[failed.id]
    assert (state, values, constraints) == (TrialState.FAIL, None, {})


def test_known_candidates_are_told_as_copies_and_never_left_running(
    database: Database, study_url: str
) -> None:
    job_id = simulated.submit(
        database,
        techniques={"filter_pruning": {"ratios": [0.0, 0.25, 0.5]}, "quantization": {}},
        budget={"trials": 17, "parallel_trials": 1},
        sampler="random",
    )
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)
    rows = {row.id: row for row in simulated.rows(database, job_id)}
    with study(study_url, job_id) as opened:
        copies = [trial for trial in opened.trials if "copy_of" in trial.user_attrs]
        assert all(trial.state.is_finished() for trial in opened.trials)
    assert copies
    told = [copy for copy in copies if copy.state == TrialState.COMPLETE]
    assert told
    for copy in told:
        measured = rows[copy.user_attrs["copy_of"]].measurement
        assert copy.values == [measured["accuracy"]["validation"], measured["size_bytes"]]


def test_rebuilding_waits_for_the_searcher_to_be_gone(database: Database, study_url: str) -> None:
    job_id = simulated.submit(database, **CHANGES)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        searcher.step()
        with pytest.raises(SearcherRunning):
            rebuild(database, study_url, job_id)
    assert rebuild(database, study_url, job_id) == 0


def test_studies_that_were_never_migrated_name_the_command(empty_database_url: str) -> None:
    url = StoreSettings(database_url=empty_database_url, study_url=None).study_storage_url
    with pytest.raises(StudySchemaOutdated, match="featherweight migrate"):
        open_storage(url)


def test_many_may_migrate_at_once_and_again(empty_database_url: str) -> None:
    url = StoreSettings(database_url=empty_database_url, study_url=None).study_storage_url
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(migrate, [url] * 4)) == [None] * 4
    migrate(url)
    storage = open_storage(url)
    assert storage.get_current_version() == storage.get_head_version()
    close_storage(storage)


def test_on_postgresql_the_studies_live_in_a_schema_of_their_own(
    database: Database, study_url: str
) -> None:
    if make_url(study_url).get_backend_name() == "sqlite":
        assert make_url(study_url).database != make_url(database.url).database
        return
    with database.read() as session:
        schemas = session.connection().exec_driver_sql(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'studies'"
        )
        assert schemas.scalars().all() == ["optuna"]
