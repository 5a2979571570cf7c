"""What one owner may have at once, also where several requests come at once."""

import threading

import pytest

from featherweight.specs.states import JobState, StopReason
from store.access import limits
from store.errors import JobLimitReached, StorageLimitReached
from store.files import uploads
from store.jobs import jobs
from tests import factories

SIZE = 1000
"""Bytes of every file of ``factories``."""


def end(session, job):
    jobs.move(session, job, JobState.STOPPING, reason=StopReason.CANCELLED)
    jobs.move(session, job, JobState.CANCELLED)


def test_an_owner_has_so_many_unfinished_jobs_and_no_more(database):
    with database.write() as session:
        mine = [factories.job(session, owner="alice") for _ in range(2)]
        factories.job(session, owner="bob")
        limits.check_jobs(session, "alice", most=2)
        factories.job(session, owner="alice")
        with pytest.raises(JobLimitReached, match="FEATHERWEIGHT_JOBS_PER_TOKEN") as caught:
            limits.check_jobs(session, "alice", most=2)
        assert "'alice' has 2 unfinished jobs" in str(caught.value)
        limits.check_jobs(session, "bob", most=2)
        end(session, mine[0])
        limits.check_jobs(session, "alice", most=2)


def bytes_of(session, owner):
    """What the owner has, found by trying."""
    artifacts = limits.artifact_bytes(session, owner)
    for most in range(0, 20 * SIZE, SIZE // 2):
        try:
            limits.check_bytes(session, owner, most=most, artifacts=artifacts)
        except StorageLimitReached:
            continue
        return most
    raise AssertionError("more than 20 files")


def test_what_nobody_owns_is_not_limited(database):
    with database.write() as session:
        for _ in range(3):
            factories.job(session)
        factories.model(session)
        limits.check_jobs(session, "", most=1)
        limits.check_coming(session, "", size_bytes=9, most=1)
        assert bytes_of(session, "") == 0, "nothing is counted"


def test_models_datasets_unfinished_uploads_and_files_of_jobs_are_counted(database):
    with database.write() as session:
        assert bytes_of(session, "alice") == 0
        factories.model(session, owner="alice")
        factories.dataset(session, owner="alice")
        assert bytes_of(session, "alice") == 2 * SIZE
        upload = uploads.create(session, size_bytes=500, owner="alice")
        assert bytes_of(session, "alice") == 2.5 * SIZE
        uploads.finish(session, upload.id, sha256="f" * 64)
        assert bytes_of(session, "alice") == 2.5 * SIZE, "it is nothing else yet"
        stored = factories.stored(session)
        uploads.finish(session, upload.id, sha256=stored.sha256)
        assert bytes_of(session, "alice") == 2 * SIZE, "it counts as what it became"
        job = factories.searching_job(session, owner="alice")
        own = limits.artifact_bytes(session, "alice")
        assert own == 2 * SIZE, "a baseline that was trained has an ONNX file and its weights"
        factories.deliver(session, factories.must_claim(session))
        assert limits.artifact_bytes(session, "alice") == own + 2 * SIZE, job.id
        assert bytes_of(session, "bob") == 0


def test_bytes_beyond_the_limit_are_refused_with_the_way_out(database):
    with database.write() as session:
        factories.model(session, owner="alice")
        limits.check_coming(session, "alice", size_bytes=SIZE, most=2 * SIZE)
        with pytest.raises(
            StorageLimitReached, match=r"2001 bytes.* and 2000 are allowed"
        ) as caught:
            limits.check_coming(session, "alice", size_bytes=SIZE + 1, most=2 * SIZE)
        assert "FEATHERWEIGHT_STORED_BYTES_PER_TOKEN" in str(caught.value)


def add_job(session):
    factories.job(session, owner="alice")
    limits.check_jobs(session, "alice", most=3)


def add_upload(session):
    uploads.create(session, size_bytes=SIZE, owner="alice")
    limits.check_bytes(session, "alice", most=3 * SIZE, artifacts=0)


@pytest.mark.parametrize("add", [add_job, add_upload])
def test_no_more_than_the_limit_where_many_come_at_once(database, add):
    with database.write() as session:
        factories.dataset(session)
    start, ended = threading.Barrier(8), []

    def ask():
        start.wait()
        try:
            with database.write() as session:
                add(session)
        except (JobLimitReached, StorageLimitReached):
            ended.append("refused")
        else:
            ended.append("taken")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (ended.count("taken"), ended.count("refused")) == (3, 5)


@pytest.mark.parametrize("add", [add_job, add_upload])
def test_what_is_not_committed_yet_counts(database, add):
    with database.write() as session:
        factories.dataset(session)
        add(session)
        add(session)
    refused = []

    def ask():
        try:
            with database.write() as session:
                add(session)
        except (JobLimitReached, StorageLimitReached):
            refused.append(True)

    with database.write() as session:
        add(session)
        second = threading.Thread(target=ask)
        second.start()
        # Whoever does not wait for its turn is through long before.
        second.join(timeout=0.5)
    second.join()
    assert refused == [True]
