"""What an error says of a disk, and a look by writing."""

import errno
import sqlite3

import psycopg.errors
import pytest
from sqlalchemy.exc import OperationalError

from store.files import disk
from store.session import Database
from tests.disks import small_disk


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "no space"), "full"),
        (OSError(errno.EDQUOT, "quota"), "full"),
        (OSError(errno.EFBIG, "too large"), "full"),
        (OSError(errno.EROFS, "read-only"), "broken"),
        (OSError(errno.EIO, "input/output error"), "broken"),
        (PermissionError(errno.EACCES, "denied"), "broken"),
        (OSError(errno.EMFILE, "too many open files"), "broken"),
        (FileNotFoundError(errno.ENOENT, "the folder is gone"), "broken"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), None),
        (TimeoutError(), None),
        (ValueError("no"), None),
    ],
)
def test_an_error_of_the_system(error, expected):
    assert disk.fault(error) == expected


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (sqlite3.OperationalError("database or disk is full"), "full"),
        (psycopg.errors.DiskFull("could not extend file: No space left on device"), "full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "broken"),
        (sqlite3.OperationalError("disk I/O error"), "broken"),
        (sqlite3.OperationalError("unable to open database file"), "broken"),
        (sqlite3.OperationalError("database is locked"), None),
        (psycopg.OperationalError("connection refused"), None),
    ],
)
def test_an_error_of_a_database(cause, expected):
    assert disk.fault(OperationalError("INSERT", {}, cause)) == expected


def test_a_look_writes_and_leaves_nothing(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert disk.probe(folder) > 0
    assert list(folder.iterdir()) == []


def test_a_look_at_a_full_disk_and_at_a_read_only_one_fails(tmp_path):
    with small_disk(tmp_path / "disk", mebibytes=1) as small:
        before = disk.probe(small.folder)
        small.fill()
        with pytest.raises(OSError, match="No space left"):
            disk.probe(small.folder)
        small.make_room()
        assert disk.probe(small.folder) == before
        small.allow_writing(False)
        with pytest.raises(OSError, match="Read-only"):
            disk.probe(small.folder)


def test_what_sqlite_says_on_a_full_disk_is_understood(sqlite_template, tmp_path):
    with small_disk(tmp_path / "disk", mebibytes=4) as small:
        (small.folder / "one.db").write_bytes(sqlite_template.read_bytes())
        database = Database(f"sqlite:///{small.folder}/one.db")
        small.fill(leave_bytes=400_000)
        with pytest.raises(OperationalError) as raised, database.write() as session:
            session.connection().exec_driver_sql("CREATE TABLE big AS SELECT randomblob(2000000)")
        database.dispose()
    assert disk.fault(raised.value) == "full"


def test_only_sqlite_has_a_folder(tmp_path):
    assert disk.database_folder(f"sqlite:///{tmp_path}/one.db") == tmp_path
    assert disk.database_folder("postgresql+psycopg://somewhere/db") is None
