"""What goes by itself after some time, and what stays."""

import os
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from featherweight.specs.states import JobState
from store.access import tokens
from store.attempts import faults, profiles
from store.database import clock
from store.files import uploads
from store.files.file_store import FileStore
from store.housekeeping import leftovers, retention
from store.jobs import events, jobs, rejections
from store.tables.records import (
    AuditRecord,
    EventRecord,
    JobRecord,
    ProfileRecord,
    SessionRecord,
    UploadRecord,
    WorkerFaultRecord,
    WorkerRecord,
)
from tests import factories
from tests.store.housekeeping.test_deletion import ended_job

DAY = timedelta(days=1)


def ago(days):
    return clock.utc_now() - days * DAY


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "files")


def test_of_an_old_job_the_last_event_stays_and_what_its_report_counts(database):
    with database.write() as session:
        job = factories.searching_job(session)
        rejections.note(session, job, factories.candidate(0.9), "too large")
        jobs.cancel(session, job.id)
        jobs.move(session, job, JobState.CANCELLED)
        young = ended_job(session, name="young")
        session.execute(
            update(JobRecord).where(JobRecord.id == job.id).values(finished_at=ago(100))
        )
        before = len(events.after(session, young.id, 0))
        last, refused = job.last_event, rejections.count(session, job.id)
    assert refused == 1
    with database.write() as session:
        assert retention.forget_events(session, before=ago(90), limit=3) == 3
    with database.write() as session:
        assert retention.forget_events(session, before=ago(90)) > 3
        assert retention.forget_events(session, before=ago(90)) == 0
    with database.read() as session:
        left = events.after(session, job.id, 0)
        assert [event.type for event in left] == [rejections.TYPE, "job.cancelled"]
        assert left[-1].seq == last == events.heads(session, [job.id])[job.id].seq
        assert rejections.count(session, job.id) == 1
        assert len(events.after(session, young.id, 0)) == before


def test_events_of_an_unfinished_job_stay_however_old(database):
    with database.write() as session:
        job = factories.searching_job(session)
        session.execute(update(JobRecord).values(created_at=ago(500), started_at=ago(500)))
        session.execute(update(EventRecord).values(at=ago(500)))
        assert retention.forget_events(session, before=ago(1)) == 0
        assert events.first_seq(session, job.id) == 1


def test_workers_that_were_not_heard_of_go_unless_they_hold_a_trial(database):
    with database.write() as session:
        factories.searching_job(session, waiting=1)
        factories.must_claim(session, "busy")
        factories.claim(session, "idle")
        session.execute(update(WorkerRecord).values(last_seen=ago(40)))
        factories.claim(session, "young")
        for name, until in (("busy", 0.0), ("idle", 0.0), ("ill", clock.now(session))):
            session.add(
                WorkerFaultRecord(name=name, in_a_row=3, set_aside_until=until, reason="it failed")
            )
        session.flush()
        assert retention.forget_workers(session, before=ago(30)) == 2
        assert retention.forget_faults(session, before=ago(30)) == 1
        assert set(session.scalars(select(WorkerRecord.name))) == {"busy", "young"}
        assert set(session.scalars(select(WorkerFaultRecord.name))) == {"busy", "ill"}
        assert faults.set_aside(session, "busy") is None


def test_logins_that_are_over_and_old_entries_of_the_audit_log_go(database):
    with database.write() as session:
        token, _ = tokens.create(session, name="somebody", scopes=["read"])
        for number, ends in (("1", ago(1)), ("2", ago(-1))):
            session.add(
                SessionRecord(
                    secret_sha256=number, token_id=token.id, created_at=ago(3), expires_at=ends
                )
            )
            session.add(
                AuditRecord(
                    id=number,
                    at=ends - 364 * DAY,
                    actor="somebody",
                    action="create",
                    kind="job",
                    subject="it",
                    name="it",
                    detail={},
                )
            )
        session.flush()
        assert retention.forget_sessions(session) == 1
        assert retention.forget_audit(session, before=ago(364)) == 1
        assert session.scalars(select(SessionRecord.secret_sha256)).all() == ["2"]
        assert session.scalars(select(AuditRecord.id)).all() == ["2"]


def profile(session, weights, data):
    document = factories.profile_document(weights_sha256=weights, data_sha256=data)
    file = factories.profile_file(session, document)
    session.add(
        ProfileRecord(
            sha256=file.sha256,
            weights_sha256=weights,
            dataset_sha256=data,
            version=document.version,
            document=document.model_dump(mode="json"),
            created_at=clock.utc_now(),
        )
    )
    session.flush()
    return file.sha256


def test_a_profile_stays_while_a_job_stands_on_it_or_could(database):
    with database.write() as session:
        network, data = factories.model(session), factories.dataset(session)
        could = profile(session, network.sha256, data.sha256)
        stands = profile(session, "2" * 64, "3" * 64)
        profile(session, network.sha256, "4" * 64)
        profile(session, "5" * 64, data.sha256)
        job = factories.job(session, dataset=data)
        profiles.use(session, job, session.get_one(ProfileRecord, stands))
        session.flush()
        assert retention.forget_profiles(session) == 2
        assert set(session.scalars(select(ProfileRecord.sha256))) == {could, stands}


def begun(database, store, content=b"half", *, touched=None, created=None, sha256=None):
    with database.write() as session:
        upload = uploads.create(session, size_bytes=100)
        upload.touched_at = touched
        upload.created_at = created or upload.created_at
        upload.sha256 = sha256
        if sha256 is None:
            store.begin_upload(upload.id)
            store.append_upload(upload.id, [content], offset=0, limit=100)
    return upload.id


def age(store, upload, days):
    moment = ago(days).timestamp()
    os.utime(store.uploads_folder / upload, (moment, moment))


def test_an_upload_that_nobody_goes_on_with_ends(database, store):
    old = begun(database, store, touched=ago(2), created=ago(9))
    of_an_older_version = begun(database, store, created=ago(2))
    young = begun(database, store, touched=ago(0.5), created=ago(9))
    still_coming = begun(database, store, touched=ago(2), created=ago(9))
    for upload in (old, of_an_older_version):
        age(store, upload, 2)
    age(store, young, 0.5)
    found = list(leftovers.unfinished(database, store, before=ago(1)))
    assert found == sorted([old, of_an_older_version])
    assert list(leftovers.remove_unfinished(database, store, before=ago(1))) == [1, 1]
    with database.read() as session:
        assert set(session.scalars(select(UploadRecord.id))) == {young, still_coming}
    assert {path.name for path in store.uploads_folder.iterdir()} == {young, still_coming}


def test_an_upload_that_somebody_writes_to_is_left_alone(database, store):
    upload = begun(database, store, touched=ago(2), created=ago(9))
    age(store, upload, 2)

    def pieces():
        removed = leftovers.remove_unfinished(database, store, before=ago(1))
        assert sum(removed) == 0
        yield b"more"

    store.append_upload(upload, pieces(), offset=4, limit=100)
    assert store.received(upload) == 8


def test_a_finished_upload_is_forgotten_when_nobody_will_repeat_its_request(database, store):
    old = begun(database, store, touched=ago(2), sha256="0" * 64)
    young = begun(database, store, touched=ago(0.5), sha256="1" * 64)
    assert leftovers.forget_finished(database, before=ago(1)) == 1
    with database.read() as session:
        assert uploads.known(session, [old, young]) == {young}


def test_bytes_of_an_upload_that_the_database_does_not_know_go(database, store):
    known = begun(database, store)
    store.begin_upload("nobodys")
    assert list(leftovers.orphans(database, store, older_than_seconds=60)) == []
    removed = leftovers.remove_orphans(database, store, older_than_seconds=-1)
    assert list(removed) == [1]
    assert [path.name for path in store.uploads_folder.iterdir()] == [known]


def test_a_temporary_file_that_somebody_fills_is_left_alone(store):
    arriving = store.arriving(limit=100)
    arriving.write(b"half")
    (store.temporary_folder / "left").write_bytes(b"half")
    assert list(leftovers.remove_temporary(store, older_than_seconds=-1)) == [1]
    stored = store.keep(arriving)
    arriving.drop()
    assert store.path(stored.sha256).read_bytes() == b"half"
    assert list(store.temporary_folder.iterdir()) == []
