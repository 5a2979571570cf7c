"""Studies of deleted jobs go with them, however often the searcher is killed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from optuna.storages import RDBStorage
from sqlalchemy import func, select

from featherweight.specs.checkup import Finding
from search.errors import SearcherRunning
from search.loop.searcher import Searcher
from search.study import checkup, removing, storage
from search.study.records import STUDIES, TRIALS
from store.housekeeping import deletion
from store.jobs import jobs, studies
from store.session import Database
from tests.search import simulated

SMALL = {"budget": {"trials": 7, "parallel_trials": 2}, "finish": {"trials": 1, "finalists": 1}}


@pytest.fixture
def studies_of(study_url: str) -> Iterator[RDBStorage]:
    opened = storage.open_storage(study_url)
    yield opened
    storage.close_storage(opened)


def finished(database: Database, study_url: str, count: int = 1) -> list[str]:
    """Ids of so many jobs that were searched to their end."""
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        made = [simulated.submit(database, **SMALL) for _ in range(count)]
        simulated.run(database, searcher)
    return made


def begin(database: Database, job_id: str) -> None:
    with database.write() as session:
        deletion.begin(session, jobs.lock_alone(session, job_id))


def left(of: RDBStorage) -> dict[str, int]:
    """Rows of every table of Optuna's that belongs to studies."""
    tables = (STUDIES, TRIALS, *removing.OF_STUDIES, *removing.OF_TRIALS)
    with of.engine.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables
        }


def names(of: RDBStorage) -> set[str]:
    return {study.study_name for study in of.get_all_studies()}


def found(database: Database, study_url: str) -> list[tuple[str, str]]:
    looked: list[Finding] = list(checkup.look(database, study_url))
    assert all(one.check == "studies" and one.mend for one in looked)
    return [(one.thing, one.what) for one in looked]


def test_the_searcher_deletes_the_study_of_a_deleted_job(
    database: Database, study_url: str, studies_of: RDBStorage
) -> None:
    gone, kept = finished(database, study_url, count=2)
    begin(database, gone)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        while searcher.step():
            pass
    assert names(studies_of) == {kept}
    with database.read() as session:
        assert studies.pending(session, limit=9) == []
    assert found(database, study_url) == []
    begin(database, kept)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        while searcher.step():
            pass
    assert set(left(studies_of).values()) == {0}


def test_a_removal_that_was_broken_off_is_finished(
    database: Database, study_url: str, studies_of: RDBStorage
) -> None:
    (gone,) = finished(database, study_url)
    before = left(studies_of)["trials"]
    assert before > 2
    assert not removing.remove_some(studies_of.engine, gone, trials=2)
    assert left(studies_of)["trials"] == before - 2
    begin(database, gone)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        while searcher.step():
            pass
    assert set(left(studies_of).values()) == {0}
    assert removing.remove_some(studies_of.engine, gone)


def test_a_job_without_a_study_is_deleted_like_any_other(
    database: Database, study_url: str
) -> None:
    job_id = simulated.submit(database, **SMALL)
    with database.write() as session:
        jobs.cancel(session, job_id)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        simulated.run(database, searcher)
        begin(database, job_id)
        while searcher.step():
            pass
    with database.read() as session:
        assert studies.pending(session, limit=9) == []


def test_the_doctor_tells_studies_that_do_not_fit_the_jobs(
    database: Database, study_url: str, studies_of: RDBStorage
) -> None:
    lost, deleted = finished(database, study_url, count=2)
    assert found(database, study_url) == []
    removing.remove(studies_of.engine, lost)
    orphan = "7c0f1a52-9c55-4b4e-8f0e-0a7d3a3f8f11"
    for name in (orphan, "somebody's own"):
        studies_of.create_new_study([], study_name=name)
    begin(database, deleted)
    assert dict(found(database, study_url)) == {
        lost: "a job that has been searched has no study",
        orphan: "a study has no job",
        "somebody's own": "a study has no job",
        deleted: "the study of a deleted job is to be deleted, and no searcher is there to do it",
    }
    assert checkup.repair(database, study_url) == 2
    assert [thing for thing, _ in found(database, study_url)] == ["somebody's own", lost]
    assert names(studies_of) == {"somebody's own"}


def test_the_doctor_deletes_no_study_beside_a_searcher(database: Database, study_url: str) -> None:
    (gone,) = finished(database, study_url)
    begin(database, gone)
    with closing(Searcher(database, study_url, simulated.settings())) as searcher:
        assert searcher.step()
        with pytest.raises(SearcherRunning):
            checkup.repair(database, study_url)
