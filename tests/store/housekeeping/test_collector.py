"""The collector removes what nothing keeps, and nothing else."""

import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest
from sqlalchemy import update

from featherweight.specs.protocol import FileRef
from featherweight.specs.states import AttemptState
from store.attempts import attempts
from store.database import clock
from store.errors import ArtifactNotFound
from store.files import datasets, file_store
from store.files.file_store import FileStore
from store.housekeeping import collector, home
from store.tables.records import AttemptRecord, FileRecord, SecretRecord
from tests import factories

NOW = timedelta()
AN_HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "files")


def put(database, store, content=b"bytes", *, is_known=True) -> str:
    """A stored file that nothing refers to."""
    stored = store.put([content], limit=1000)
    if is_known:
        with database.write() as session:
            file_store.record(session, stored)
    return stored.sha256


def aged(database, sha256, *, hours=2):
    with database.write() as session:
        session.execute(
            update(FileRecord)
            .where(FileRecord.sha256 == sha256)
            .values(created_at=clock.utc_now() - timedelta(hours=hours))
        )


def is_there(store, sha256):
    try:
        return store.path(sha256).is_file()
    except ArtifactNotFound:
        return False


def test_a_file_that_nothing_refers_to_goes_with_its_row(database, store):
    sha256 = put(database, store)
    assert list(collector.unreferenced(database)) == [sha256]
    assert collector.remove(database, store, sha256)
    assert not is_there(store, sha256)
    with database.read() as session:
        assert session.get(FileRecord, sha256) is None
    assert list(collector.unreferenced(database)) == []


def test_a_young_file_is_left_alone_for_a_while(database, store):
    sha256 = put(database, store)
    assert list(collector.unreferenced(database, grace=AN_HOUR)) == []
    assert not collector.remove(database, store, sha256, grace=AN_HOUR)
    aged(database, sha256)
    assert list(collector.unreferenced(database, grace=AN_HOUR)) == [sha256]
    assert collector.remove(database, store, sha256, grace=AN_HOUR)


def test_a_file_that_comes_again_is_young_again(database, store):
    sha256 = put(database, store)
    aged(database, sha256)
    assert put(database, store) == sha256
    assert not collector.remove(database, store, sha256, grace=AN_HOUR)
    assert is_there(store, sha256)


def test_what_a_worker_has_sent_stays_until_its_attempt_has_ended(database, store):
    with database.write() as session:
        factories.searching_job(session)
        held = factories.must_claim(session)
    sha256 = put(database, store)
    assert sha256 not in set(collector.unreferenced(database))
    assert not collector.remove(database, store, sha256)
    with database.write() as session:
        report = factories.report_of(session, held)
        onnx = FileRef(role="manifest", sha256=sha256, size_bytes=5)
        report = report.model_copy(update={"files": (*report.files, onnx)})
        attempts.report(session, held.attempt, held.token, report, decide=factories.stop)
    assert not collector.remove(database, store, sha256)
    assert is_there(store, sha256)


def test_what_a_worker_sent_and_never_reported_goes_once_no_attempt_is_active(database, store):
    with database.write() as session:
        factories.searching_job(session)
        factories.must_claim(session)
    sha256 = put(database, store)
    with database.write() as session:
        session.execute(update(AttemptRecord).values(state=AttemptState.EXPIRED))
    assert sha256 in set(collector.unreferenced(database))
    assert collector.remove(database, store, sha256)


def test_a_file_that_somebody_stores_right_now_is_left_alone(database, store):
    with ExitStack() as holds:
        stored = store.put([b"bytes"], limit=1000, holds=holds)
        assert store.is_held(stored.sha256)
        assert not collector.remove(database, store, stored.sha256)
        assert is_there(store, stored.sha256)
    assert not store.is_held(stored.sha256)
    assert collector.remove(database, store, stored.sha256)
    assert not is_there(store, stored.sha256)


def test_a_file_that_comes_again_is_not_forgotten_before_it_is_referred_to(database, store):
    stored = store.put([b"bytes"], limit=100)
    with database.write() as session:
        file_store.record(session, stored)
    forgotten = []

    def forget():
        with database.write() as session:
            forgotten.append(file_store.forget(session, stored.sha256))

    other = threading.Thread(target=forget)
    with database.write() as session:
        file_store.record(session, stored)
        other.start()
        other.join(timeout=0.5)
        assert other.is_alive(), "nobody forgets what somebody else has just recorded"
        info = factories.dataset_info()
        datasets.create(session, name="it", stored=stored, task="it", info=info)
    other.join()
    assert forgotten == [False]


def test_files_without_a_row_are_found_and_others_are_not(database, store):
    known, unknown = put(database, store), put(database, store, b"other", is_known=False)
    (store.content_folder / unknown[:2] / "notes.txt").write_text("mine")
    found = list(collector.unknown(database, store))
    assert [(one.sha256, one.size_bytes) for one in found] == [(unknown, 5)]
    assert [path.name for path in collector.strange(store)] == ["notes.txt"]
    assert collector.remove(database, store, unknown)
    assert is_there(store, known)


def test_a_row_whose_file_is_gone_goes_too_if_nothing_refers_to_it(database, store):
    sha256 = put(database, store)
    store.delete(sha256)
    assert collector.remove(database, store, sha256)
    assert list(collector.known(database)) == []


def test_a_folder_belongs_to_the_database_that_marked_it_first(database, store):
    with database.read() as session:
        assert home.is_ours(session, store) is None
    assert home.settle(database, store)
    assert home.settle(database, store)
    with database.read() as session:
        assert home.is_ours(session, store)
    with database.write() as session:
        session.query(SecretRecord).delete()
    assert not home.settle(database, store), "another database took the folder over"
    with database.read() as session:
        assert home.is_ours(session, store) is False


def test_a_folder_of_which_the_database_knows_nothing_is_not_taken_over(database, store):
    put(database, store, is_known=False)
    assert not home.settle(database, store)
    with database.read() as session:
        assert home.is_ours(session, store) is None
    put(database, store, b"known")
    assert home.settle(database, store)


def test_many_files_are_looked_through_page_by_page(database, store):
    with database.write() as session:
        for _ in range(1203):
            factories.stored(session)
    assert len(list(collector.known(database))) == 1203
    found = list(collector.unreferenced(database))
    assert found == sorted(set(found))
    assert len(found) == 1203
