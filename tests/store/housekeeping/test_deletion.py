"""Deleting a job: gone for its users at once, and row by row for the database."""

import threading

import pytest
from sqlalchemy import func, select

from compress.network.sources.source import FamilySource
from featherweight.specs.jobs.editing import JobChanges
from featherweight.specs.states import JobState
from store.attempts import views
from store.database import clock
from store.errors import (
    JobDeleted,
    JobNotFinished,
    JobNotFound,
    StillInUse,
    TrialNotFound,
)
from store.files import artifacts, file_store, models
from store.files.file_store import FileStore
from store.housekeeping import collector, deletion, removal
from store.jobs import editing, events, jobs, studies, warm_starts
from store.meters import meters, plans
from store.tables.records import Base, JobRecord, StudyRemovalRecord
from store.trials import candidates, trials
from store.trials.candidates import ProposedCandidate
from tests import factories, meter_factories


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "files")


def ended_job(session, **changes) -> JobRecord:
    """A cancelled job: baseline, candidate, delivered trial, stopped one, file for a meter."""
    job = factories.searching_job(session, waiting=0, **changes)
    proposed = ProposedCandidate(candidate=factories.candidate(0.9))
    candidates.add(session, job, proposed, origin=candidates.USER)
    candidates.begin_post(session, job, key="a key", body_sha256="0" * 64)
    factories.trial(session, job)
    factories.deliver(session, factories.must_claim(session, "another"))
    factories.trial(session, job)
    meters.seen(session, meter_factories.info())
    plans.plan(session, "board", job, [artifacts.of_job(session, job.id)[0].id])
    editing.edit(session, job, JobChanges(tags=("kept",)))
    jobs.cancel(session, job.id)
    jobs.move(session, job, JobState.CANCELLED)
    return job


def started_from(session, source, *, is_history=True) -> JobRecord:
    job = factories.job(session, name="second", running=True)
    warm_starts.add_sources(session, job, [(source.id, is_history)])
    return job


def end(session, job):
    jobs.cancel(session, job.id)
    jobs.move(session, job, JobState.CANCELLED)


def begin(session, job_id):
    deletion.begin(session, jobs.lock_alone(session, job_id))


def delete(database, store, job_id, **options):
    with database.write() as session:
        begin(session, job_id)
    return removal.finish(database, store, job_id, seconds=30, **options)


def rows(session, job_id) -> dict[str, int]:
    """How many rows of each table belong to the job, its own not counted."""
    return {
        table.name: session.scalar(select(func.count()).where(table.c.job_id == job_id))
        for table in deletion.PARTS
    }


def test_every_table_that_refers_to_jobs_or_what_is_theirs_is_removed():
    parts = {table.name for table in deletion.PARTS} | {"fw_jobs"}
    referring = {
        table.name
        for table in Base.metadata.sorted_tables
        if any(key.column.table.name in parts for key in table.foreign_keys)
    }
    assert referring <= parts
    assert all("job_id" in table.c for table in deletion.PARTS)


def test_a_deleted_job_leaves_nothing_but_a_note_for_the_searcher(database, store):
    with database.write() as session:
        other = ended_job(session, name="other")
        job = ended_job(session)
        before = rows(session, other.id)
        assert all(
            rows(session, job.id)[name] for name in rows(session, job.id) if "warm" not in name
        )
        digests = [artifact.sha256 for artifact in artifacts.of_job(session, job.id)]
    assert delete(database, store, job.id)
    with database.read() as session:
        assert session.get(JobRecord, job.id) is None
        assert set(rows(session, job.id).values()) == {0}
        assert rows(session, other.id) == before
        assert studies.pending(session, limit=9) == [job.id]
        assert not set(digests) & {known.sha256 for known in collector.known(database)}
        with pytest.raises(JobNotFound):
            jobs.get(session, job.id)


def test_an_unfinished_job_cannot_be_deleted(database):
    with database.write() as session:
        job = factories.job(session)
        with pytest.raises(JobNotFinished, match="is queued: cancel it"):
            begin(session, job.id)
        jobs.move(session, job, JobState.RUNNING)
        with pytest.raises(JobNotFinished, match="is running: cancel it"):
            begin(session, job.id)


def test_a_job_that_an_unfinished_one_starts_from_cannot_be_deleted(database, store):
    with database.write() as session:
        source = ended_job(session)
        second = started_from(session, source)
        with pytest.raises(StillInUse, match=f"{second.id} starts from"):
            begin(session, source.id)
        end(session, second)
    assert delete(database, store, source.id)


def test_what_a_job_started_from_is_known_as_deleted_until_that_one_goes(database, store):
    with database.write() as session:
        source = ended_job(session, name="first")
        second = started_from(session, source)
        end(session, second)
    delete(database, store, source.id)
    with database.read() as session:
        with pytest.raises(JobDeleted, match="'first'"):
            jobs.get(session, source.id)
        view = views.deleted_job(jobs.deleted(session, source.id))
        assert (view.id, view.name, view.state) == (source.id, "first", JobState.DELETED)
        assert view.spec == jobs.spec(source)
        assert view.created_at <= view.finished_at <= view.deleted_at <= clock.utc_now()
        assert [one.id for one in jobs.page(session, limit=9)[0]] == [second.id]
        assert jobs.page(session, limit=9, state=JobState.DELETED)[0] == []
        assert warm_starts.finished(session) == []
    delete(database, store, second.id)
    with database.read() as session, pytest.raises(JobNotFound) as found:
        jobs.get(session, source.id)
    assert not isinstance(found.value, JobDeleted)


def test_a_job_is_gone_for_everybody_before_its_rows_are(database):
    with database.write() as session:
        job = ended_job(session)
        trial = trials.of_job(session, job.id)[0]
        artifact = artifacts.of_job(session, job.id)[0]
        begin(session, job.id)
    with database.read() as session:
        assert rows(session, job.id)["fw_trials"] == 3
        for look in (
            lambda: jobs.get(session, job.id),
            lambda: jobs.last_event(session, job.id),
            lambda: trials.get(session, trial.id),
            lambda: artifacts.get(session, artifact.id),
        ):
            with pytest.raises(JobNotFound):
                look()
        assert jobs.page(session, limit=9)[0] == []
        assert events.heads(session, [job.id]) == {}
        assert warm_starts.finished(session) == []
    with database.write() as session:
        for act in (jobs.lock, jobs.cancel, begin):
            with pytest.raises(JobNotFound):
                act(session, job.id)
        with pytest.raises((JobNotFound, TrialNotFound)):
            trials.rerun(session, trial.id, seed=5)


@pytest.mark.parametrize("rows_at_once", [1, 3, 1000])
def test_a_removal_that_was_broken_off_is_finished_later(database, store, rows_at_once):
    with database.write() as session:
        job = ended_job(session)
        begin(session, job.id)
    steps = 0
    while True:
        with database.write() as session:
            assert deletion.begun(session, limit=9) == [job.id]
            is_last = deletion.purge(session, job.id, rows=rows_at_once).is_last
        steps += 1
        if is_last or steps == 5:
            break
    assert removal.finish_all(database, store, seconds=30) == (0 if is_last else 1)
    with database.read() as session:
        assert session.get(JobRecord, job.id) is None
        assert set(rows(session, job.id).values()) == {0}
        assert deletion.begun(session, limit=9) == []


def test_no_transaction_removes_more_rows_than_it_may(database):
    with database.write() as session:
        job = ended_job(session)
        begin(session, job.id)
        left = sum(rows(session, job.id).values())
    while left:
        with database.write() as session:
            deletion.purge(session, job.id, rows=4)
            now = sum(rows(session, job.id).values())
        assert now == max(0, left - 4)
        left = now


def test_files_of_a_deleted_job_go_and_shared_ones_stay(database, store):
    shared, own = store.put([b"shared"], limit=9), store.put([b"own"], limit=9)
    with database.write() as session:
        job = ended_job(session)
        trial = trials.of_job(session, job.id)[0]
        for role, stored in (("manifest", shared), ("profile", own)):
            file_store.record(session, stored)
            session.add(
                artifacts.ArtifactRecord(
                    id=role,
                    job_id=job.id,
                    trial_id=trial.id,
                    rung=7,
                    role=role,
                    sha256=stored.sha256,
                    size_bytes=stored.size_bytes,
                    created_at=clock.utc_now(),
                )
            )
        models.create(
            session,
            name="keeps it",
            stored=shared,
            source=FamilySource(factories.ARCHITECTURE),
            normalisation=factories.NORMALISATION,
            info=factories.model_info(),
        )
    delete(database, store, job.id)
    assert store.path(shared.sha256).read_bytes() == b"shared"
    assert not (store.content_folder / own.sha256[:2] / own.sha256).exists()


def test_the_key_of_a_deleted_job_makes_another_one(database):
    with database.write() as session:
        job = factories.job(session, key="once")
        end(session, job)
        begin(session, job.id)
        again = factories.job(session, key="once")
        assert again.id != job.id


def test_a_job_cannot_start_from_one_that_is_deleted_in_this_moment(database):
    with database.write() as session:
        source = ended_job(session)
    begun, go_on = threading.Event(), threading.Event()

    def remove():
        with database.write() as session:
            begin(session, source.id)
            begun.set()
            go_on.wait(1.0)

    removal_thread = threading.Thread(target=remove)
    removal_thread.start()
    assert begun.wait(10)
    with pytest.raises(JobNotFound, match="deleted in this moment"), database.write() as session:
        started_from(session, source)
    removal_thread.join()
    with database.read() as session:
        assert session.scalars(select(StudyRemovalRecord.job_id)).all() == [source.id]
