"""Files: whole or not at all, known by their content, checked when they are read."""

import hashlib
import threading
from contextlib import ExitStack

import pytest

from store.access.owners import NOBODY
from store.errors import (
    ArtifactNotFound,
    DigestMismatch,
    FileBusy,
    FileCorrupt,
    FileTooLarge,
    UploadBusy,
    UploadNotFound,
    UploadOffsetMismatch,
)
from store.files import artifacts, datasets, file_store, uploads
from store.files.file_store import FileStore
from store.files.streams import CHUNK_BYTES
from store.housekeeping import leftovers
from tests import factories

CONTENT = b"a network that fits"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "files")


def everything_in(store):
    """Every file but the empty ones that locks are taken on."""
    found = [path for path in store.folder.rglob("*") if path.is_file()]
    return [path for path in found if path.parent.name != "locks"]


def test_a_file_is_found_by_its_content(store):
    stored = store.put([CONTENT[:5], CONTENT[5:]], limit=100)
    assert (stored.sha256, stored.size_bytes) == (DIGEST, len(CONTENT))
    assert store.path(DIGEST).read_bytes() == CONTENT
    assert b"".join(store.read(DIGEST)) == CONTENT


def test_the_same_content_is_kept_once(store):
    store.put([CONTENT], limit=100)
    store.put([CONTENT], limit=100, expected=DIGEST)
    assert everything_in(store) == [store.path(DIGEST)]


def test_a_digest_that_is_not_the_announced_one_leaves_nothing(store):
    with pytest.raises(DigestMismatch, match=DIGEST):
        store.put([CONTENT], limit=100, expected="0" * 64)
    assert everything_in(store) == []


def test_a_file_over_the_limit_leaves_nothing(store):
    with pytest.raises(FileTooLarge, match="limit of 18 bytes"):
        store.put([CONTENT], limit=len(CONTENT) - 1)
    assert everything_in(store) == []
    assert store.put([CONTENT], limit=len(CONTENT)).size_bytes == len(CONTENT)


def broken_off():
    yield CONTENT
    raise ConnectionError("the client is gone")


def test_a_stream_that_breaks_off_leaves_nothing(store):
    with pytest.raises(ConnectionError):
        store.put(broken_off(), limit=100)
    assert everything_in(store) == []


def test_a_file_has_its_name_only_when_it_is_whole(store):
    def chunks():
        yield CONTENT[:5]
        assert [path.parent.name for path in everything_in(store)] == ["temporary"]
        yield CONTENT[5:]

    store.put(chunks(), limit=100)
    assert everything_in(store) == [store.path(DIGEST)]


def test_a_file_that_is_not_there_is_not_found(store):
    for attempt in (store.path, store.read, store.verify):
        with pytest.raises(ArtifactNotFound):
            attempt(DIGEST)


@pytest.mark.parametrize(
    "name", ["", "../" * 21 + "x", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"]
)
def test_only_a_digest_names_a_file(store, name):
    store.put([CONTENT], limit=100)
    with pytest.raises(ArtifactNotFound, match="not a SHA-256"):
        store.path(name)


def corrupt(store, content):
    digest = store.put([content], limit=10 * CHUNK_BYTES).sha256
    broken = bytearray(content)
    broken[0] ^= 1
    store.path(digest).write_bytes(broken)
    return digest


@pytest.mark.parametrize("content", [CONTENT, bytes(3 * CHUNK_BYTES + 17)])
def test_a_corrupt_file_never_arrives_whole(store, content):
    digest, arrived = corrupt(store, content), []
    with pytest.raises(FileCorrupt, match=digest):
        arrived.extend(store.read(digest))
    assert len(b"".join(arrived)) < len(content)


def test_a_part_of_a_corrupt_file_does_not_arrive_at_all(store):
    digest = corrupt(store, CONTENT)
    with pytest.raises(FileCorrupt):
        store.read(digest, start=10, end=12)


def test_corruption_after_a_check_is_seen_too(store):
    digest = store.put([CONTENT], limit=100).sha256
    store.verify(digest)
    store.path(digest).write_bytes(CONTENT + b"more")
    with pytest.raises(FileCorrupt):
        store.verify(digest)


def test_an_upload_of_the_same_content_heals_a_corrupt_file(store):
    digest = corrupt(store, CONTENT)
    store.put([CONTENT], limit=100)
    assert b"".join(store.read(digest)) == CONTENT


@pytest.mark.parametrize(
    ("start", "end"), [(0, 5), (3, 9), (5, None), (0, None), (0, 999), (19, 30)]
)
def test_parts_of_a_file_can_be_read(store, start, end):
    store.put([CONTENT], limit=100)
    assert b"".join(store.read(DIGEST, start=start, end=end)) == CONTENT[start:end]


def test_large_files_come_in_pieces(store):
    content = bytes(range(256)) * (CHUNK_BYTES // 64)
    digest = store.put([content], limit=len(content)).sha256
    pieces = list(store.read(digest))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= CHUNK_BYTES


def test_an_empty_file_can_be_stored_and_read(store):
    digest = store.put([], limit=0).sha256
    assert b"".join(store.read(digest)) == b""


def test_a_deleted_file_is_gone_and_deleting_again_is_fine(store):
    store.put([CONTENT], limit=100)
    store.delete(DIGEST)
    store.delete(DIGEST)
    with pytest.raises(ArtifactNotFound):
        store.path(DIGEST)


def test_leftovers_of_killed_processes_are_removed(store):
    store.put([CONTENT], limit=100)
    (store.folder / "temporary" / "left").write_bytes(b"half a")
    assert list(leftovers.remove_temporary(store, older_than_seconds=3600)) == []
    assert list(leftovers.remove_temporary(store, older_than_seconds=-1)) == [1]
    assert everything_in(store) == [store.path(DIGEST)]


def test_an_upload_goes_on_where_it_stands(store):
    store.begin_upload("up")
    assert store.append_upload("up", [CONTENT[:7]], offset=0, limit=19) == 7
    assert store.received("up") == 7
    assert store.append_upload("up", [CONTENT[7:9], CONTENT[9:]], offset=7, limit=19) == 19
    stored = store.adopt_upload("up", expected_size=19)
    assert stored.sha256 == DIGEST
    assert everything_in(store) == [store.path(DIGEST)]


@pytest.mark.parametrize("offset", [0, 6, 8, 100])
def test_bytes_that_do_not_follow_are_refused(store, offset):
    store.begin_upload("up")
    store.append_upload("up", [CONTENT[:7]], offset=0, limit=19)
    with pytest.raises(UploadOffsetMismatch, match="has 7 bytes"):
        store.append_upload("up", [b"x"], offset=offset, limit=19)
    assert store.received("up") == 7


def test_what_arrived_before_the_connection_broke_stays(store):
    store.begin_upload("up")
    with pytest.raises(ConnectionError):
        store.append_upload("up", broken_off(), offset=0, limit=100)
    assert store.received("up") == len(CONTENT)


def test_a_piece_beyond_the_size_is_dropped_as_a_whole(store):
    store.begin_upload("up")
    store.append_upload("up", [CONTENT[:7]], offset=0, limit=10)
    with pytest.raises(FileTooLarge):
        store.append_upload("up", [b"ab", b"cd"], offset=7, limit=10)
    assert store.received("up") == 7
    assert store.append_upload("up", [b"abc"], offset=7, limit=10) == 10


def test_two_requests_cannot_write_to_one_upload_at_once(store):
    store.begin_upload("up")

    def chunks():
        with pytest.raises(UploadBusy):
            store.append_upload("up", [b"other"], offset=0, limit=100)
        yield CONTENT

    assert store.append_upload("up", chunks(), offset=0, limit=100) == len(CONTENT)


def test_an_unfinished_upload_is_no_file(store):
    store.begin_upload("up")
    store.append_upload("up", [CONTENT[:7]], offset=0, limit=19)
    with pytest.raises(UploadOffsetMismatch, match="7 of 19"):
        store.adopt_upload("up", expected_size=19)
    with pytest.raises(ArtifactNotFound):
        store.path(DIGEST)


@pytest.mark.parametrize("upload_id", ["other", "../up", "", "a/b"])
def test_an_unknown_upload_is_not_found(store, upload_id):
    store.begin_upload("up")
    with pytest.raises(UploadNotFound):
        store.append_upload(upload_id, [b"x"], offset=0, limit=10)


def test_a_dropped_upload_is_gone(store):
    store.begin_upload("up")
    store.drop_upload("up")
    store.drop_upload("up")
    with pytest.raises(UploadNotFound):
        store.received("up")


def test_uploads_are_remembered_until_they_are_deleted(database):
    with database.write() as session:
        upload = uploads.create(session, size_bytes=19)
        assert uploads.advance(session, upload.id, received=7).received == 7
    with database.write() as session:
        found = uploads.get(session, upload.id)
        assert (found.size_bytes, found.received) == (19, 7)
        uploads.delete(session, upload.id)
        with pytest.raises(UploadNotFound):
            uploads.get(session, upload.id)


def test_a_file_in_use_is_not_forgotten(database):
    with database.write() as session:
        job = factories.searching_job(session)
        used = [artifact.sha256 for artifact in artifacts.of_job(session, job.id)]
        used.append(datasets.get(session, "digits").sha256)
        assert [file_store.forget(session, sha256) for sha256 in used] == [False] * 3


def test_a_file_that_nothing_refers_to_is_forgotten(database):
    with database.write() as session:
        dataset = factories.dataset(session)
        assert not file_store.forget(session, dataset.sha256)
        datasets.delete(session, "digits", NOBODY)
        assert file_store.forget(session, dataset.sha256)


def test_bytes_that_somebody_stores_are_not_alone_and_are_taken_up_again_after(store):
    with ExitStack() as holds:
        store.put([CONTENT], limit=100, holds=holds)
        with store.held(DIGEST), store.alone(DIGEST) as is_alone:
            assert not is_alone
    with store.alone(DIGEST) as is_alone:
        assert is_alone


def test_bytes_that_are_being_removed_are_stored_when_that_is_over(store):
    store.put([CONTENT], limit=100)
    begun, done = threading.Event(), threading.Event()

    def remove():
        with store.alone(DIGEST):
            begun.set()
            done.wait(timeout=30)
            store.delete(DIGEST)

    removal = threading.Thread(target=remove)
    removal.start()
    assert begun.wait(timeout=30)
    threading.Timer(0.2, done.set).start()
    store.put([CONTENT], limit=100)
    removal.join()
    assert b"".join(store.read(DIGEST)) == CONTENT


def test_a_removal_that_does_not_end_is_a_conflict(store, monkeypatch):
    monkeypatch.setattr(file_store, "_LONGEST_REMOVAL_SECONDS", 0.1)
    with store.alone(DIGEST), pytest.raises(FileBusy, match="try again"):
        store.put([CONTENT], limit=100)
    assert everything_in(store) == []
