"""What the service cannot take is kept; what this machine's disk does is charged to no trial."""

import errno
import os
import threading
from pathlib import Path

import pytest

from compress.values.errors import InvalidData, Stopped
from featherweight.client.worker_client import WorkerClient
from featherweight.errors import DigestMismatch, FileLost, Unauthorised
from featherweight.specs.states import AttemptState, TrialState
from store.files.file_store import FileStore
from store.session import open_database
from tests.disks import small_disk
from tests.running import running, until
from tests.workers.test_spool import FAILED, facts, put
from workers.connection import RetryingConnection
from workers.files import disk
from workers.files.fetching import Fetcher
from workers.spool import RELEASE, Spool, settle
from workers.stopping import StopFlag

pytestmark = pytest.mark.proof

BIG = b"n" * 3_000_000


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "outbox")


@pytest.fixture(scope="module")
def service_disk(sqlite_template, tmp_path_factory):
    """A service whose files lie on a small disk: its house, and the disk."""
    folder = tmp_path_factory.mktemp("small")
    with (
        small_disk(folder / "files", mebibytes=8) as small,
        running(folder, like=sqlite_template) as house,
    ):
        house.serve()
        yield house, small


@pytest.fixture(scope="module")
def house(service_disk):
    return service_disk[0]


@pytest.fixture(scope="module")
def records(house):
    opened = open_database(house.database_url, check_schema=False)
    yield opened
    opened.dispose()


def in_thread(act):
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_report_waits_in_its_tray_until_the_service_has_room_again(
    service_disk, claimed, spool, worker_client, records, caplog
):
    _, small = service_disk
    assignment = claimed()
    spooled = spool.open(assignment)
    put(spooled, 0, content=BIG)
    put(spooled, 1, content=BIG)
    small.fill()
    beats = []
    connection = RetryingConnection(StopFlag(), meanwhile=lambda: beats.append(1))
    telling = in_thread(
        lambda: settle(spooled, client=worker_client, connection=connection, verdict=FAILED)
    )
    until(lambda: len(beats) >= 2)
    assert spooled.pending() == [0, 1]
    assert facts(records, assignment) == (TrialState.RUNNING, [AttemptState.ACTIVE], 0)
    small.make_room()
    telling.join(60)
    assert facts(records, assignment) == (TrialState.COMPLETE, [AttemptState.DELIVERED], 2)
    told = [record.message for record in caplog.records if record.name == "workers.connection"]
    assert len(told) == 1
    assert "StorageFull" in told[0]


def test_a_stop_in_that_outage_leaves_the_tray_for_the_next_process(
    service_disk, claimed, spool, worker_client, records
):
    _, small = service_disk
    assignment = claimed()
    put(spool.open(assignment), 0, content=BIG[:-1])
    stop = StopFlag()
    stop.set("the worker is stopping")
    small.fill()
    (spooled,) = spool.leftovers()
    with pytest.raises(Stopped):
        settle(spooled, client=worker_client, connection=RetryingConnection(stop), verdict=RELEASE)
    small.make_room()
    (spooled,) = spool.leftovers()
    settle(
        spooled, client=worker_client, connection=RetryingConnection(StopFlag()), verdict=RELEASE
    )
    assert facts(records, assignment) == (TrialState.WAITING, [AttemptState.RELEASED], 1)


def test_a_token_that_is_not_taken_is_no_reason_to_throw_a_report_away(
    claimed, spool, house, worker_client, records
):
    assignment = claimed()
    spooled = spool.open(assignment)
    put(spooled, 0)
    unknown = WorkerClient(house.url, "fw_unknown")
    with pytest.raises(Unauthorised):
        settle(spooled, client=unknown, connection=RetryingConnection(StopFlag()), verdict=RELEASE)
    unknown.close()
    (left,) = spool.leftovers()
    assert left.pending() == [0]
    settle(left, client=worker_client, connection=RetryingConnection(StopFlag()), verdict=RELEASE)
    assert facts(records, assignment) == (TrialState.WAITING, [AttemptState.RELEASED], 1)


def test_an_answer_that_cannot_be_written_down_still_counts(
    claimed, tmp_path, worker_client, records
):
    assignment = claimed()
    with small_disk(tmp_path / "own", mebibytes=1) as own:
        spooled = Spool(own.folder / "outbox").open(assignment)
        put(spooled, 0)
        put(spooled, 1)
        own.fill()
        settle(
            spooled, client=worker_client, connection=RetryingConnection(StopFlag()), verdict=FAILED
        )
    assert facts(records, assignment) == (TrialState.COMPLETE, [AttemptState.DELIVERED], 2)


def test_a_disk_that_becomes_read_only_ends_no_process(claimed, tmp_path, worker_client, records):
    assignment = claimed()
    with small_disk(tmp_path / "own", mebibytes=1) as own:
        box = Spool(own.folder / "outbox")
        spooled = box.open(assignment)
        put(spooled, 0)
        own.allow_writing(False)
        settle(
            spooled,
            client=worker_client,
            connection=RetryingConnection(StopFlag()),
            verdict=RELEASE,
        )
        assert facts(records, assignment) == (TrialState.WAITING, [AttemptState.RELEASED], 1)
        own.allow_writing(True)


@pytest.fixture
def fetch(worker_client):
    return Fetcher(worker_client, RetryingConnection(StopFlag()))


@pytest.fixture
def stored(house):
    """A file of the service, and its digest."""
    files = FileStore(Path(house.folder) / "files")
    sha256 = files.put([b"weights"], limit=100).sha256
    return files, sha256


def test_a_file_arrives_whole(fetch, stored, tmp_path):
    fetch(stored[1], tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda path: path.unlink(), "ArtifactNotFound"),
        (lambda path: path.write_bytes(b"weight?"), "FileCorrupt"),
        (lambda path: path.write_bytes(b""), "FileCorrupt"),
    ],
)
def test_a_file_that_the_service_has_lost_is_named_at_once(fetch, stored, tmp_path, harm, code):
    files, sha256 = stored
    harm(files.path(sha256))
    with pytest.raises(FileLost, match=code) as raised:
        fetch(sha256, tmp_path / "target")
    assert raised.value.sha256 == sha256
    assert list(tmp_path.iterdir()) == []


def test_bits_that_rot_after_the_service_has_checked_them_are_found(fetch, stored, tmp_path):
    files, sha256 = stored
    fetch(sha256, tmp_path / "first")
    path = files.path(sha256)
    before = path.stat()
    path.write_bytes(b"weight?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(FileLost, match="FileCorrupt"):
        fetch(sha256, tmp_path / "second")


def test_a_file_damaged_on_its_way_each_time_is_said_to_be_lost(stored, tmp_path):
    """The service looks at its own file then, and knows whose fault it is."""

    class Damaging:
        times = 0

        def fetch(self, sha256, target):
            self.times += 1
            raise DigestMismatch("other bytes")

    damaging = Damaging()
    with pytest.raises(FileLost, match="damaged on its way"):
        Fetcher(damaging, RetryingConnection(StopFlag()))("0" * 64, tmp_path / "target")
    assert damaging.times == 4


def wrapped(error):
    try:
        try:
            raise error
        except OSError as cause:
            raise InvalidData("the file cannot be read") from cause
    except InvalidData as outer:
        return outer


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "EFBIG"])
def test_what_this_machines_disk_does_is_seen_through_other_errors(number):
    error = OSError(getattr(errno, number), "the disk")
    assert disk.trouble(error) == str(error)
    assert disk.trouble(wrapped(error)) == str(error)


@pytest.mark.parametrize(
    "error", [ValueError("no"), FileNotFoundError(errno.ENOENT, "no file"), OSError("no number")]
)
def test_other_errors_are_no_disks(error):
    assert disk.trouble(error) is None


def test_a_full_disk_is_seen_by_writing(tmp_path):
    with small_disk(tmp_path / "own", mebibytes=4) as own:
        assert disk.unwritable(own.folder) is None
        own.fill(leave_bytes=100_000)
        assert "No space left" in (disk.unwritable(own.folder) or "")
        own.make_room()
        assert disk.unwritable(own.folder) is None
        assert list(own.folder.iterdir()) == []


def test_pauses_for_a_disk_grow():
    pauses = [max(disk.WAIT.pause(tried) or 0 for _ in range(50)) for tried in (1, 4, 9)]
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 60
