"""The doctor: every kind of damage is found, named, and mended where that is safe."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from compress.network.sources.source import FamilySource
from featherweight import __version__
from featherweight.specs.checkup import Finding
from featherweight.specs.states import AttemptState
from service.errors import CannotLook
from service.housekeeping import doctor
from service.housekeeping.caretaker import Caretaker
from service.housekeeping.tidying import HousekeepingScope
from service.settings import ServiceSettings
from store.cluster import leader, liveness
from store.database import clock
from store.database.schema import VERSION_TABLE
from store.files import models, uploads
from store.files.file_store import FileStore
from store.housekeeping import deletion, home
from store.jobs import jobs
from store.session import Database
from store.tables.records import AttemptRecord, SecretRecord, UploadRecord, WorkerRecord
from tests import factories
from tests.store.housekeeping.test_deletion import ended_job

SMALL = {"min_free_bytes": 1}


@dataclass(frozen=True)
class Damaged:
    """A house to break something of."""

    database: Database
    files: FileStore
    settings: ServiceSettings

    def look(self, **options) -> list[Finding]:
        return list(doctor.look(self.settings, **options))

    def store(self, content=b"weights") -> Path:
        """A file that a model refers to; where it lies."""
        stored = self.files.put([content], limit=100)
        with self.database.write() as session:
            models.create(
                session,
                name=stored.sha256[:8],
                stored=stored,
                source=FamilySource(factories.ARCHITECTURE),
                normalisation=factories.NORMALISATION,
                info=factories.model_info(),
            )
        return self.files.path(stored.sha256)


@pytest.fixture
def house(database, tmp_path):
    """A healthy house that is down: some files, a finished job whose files are all there."""
    settings = ServiceSettings(database_url=database.url, files=tmp_path / "files", **SMALL)
    found = Damaged(database, FileStore(settings.files), settings)
    found.store()
    home.settle(database, found.files)
    doctor.repair(settings)
    assert found.look() == []
    return found


def missing(house):
    path = house.store(b"is lost")
    path.unlink()
    return path


def shorter(house):
    path = house.store(b"will be short")
    path.write_bytes(b"short")
    return path


def unreferenced(house):
    with house.database.write() as session:
        return factories.stored(session).sha256


def unknown(house):
    stored = house.files.put([b"nobody's"], limit=100)
    return house.files.path(stored.sha256)


def strange(house):
    path = house.files.content_folder / "ab" / "notes.txt"
    path.parent.mkdir(mode=0o700)
    path.write_text("mine")
    path.chmod(0o600)
    return path


def temporary(house):
    house.files.arriving(limit=10).drop()
    path = house.files.temporary_folder / "left"
    path.write_bytes(b"half")
    path.chmod(0o600)
    os.utime(path, (1, 1))
    return path


def orphan(house):
    house.files.begin_upload("nobodys")
    path = house.files.uploads_folder / "nobodys"
    os.utime(path, (1, 1))
    return path


def unfinished(house):
    with house.database.write() as session:
        upload = uploads.create(session, size_bytes=10)
        house.files.begin_upload(upload.id)
        session.execute(update(UploadRecord).values(created_at=clock.utc_now() - timedelta(days=3)))
    os.utime(house.files.uploads_folder / upload.id, (1, 1))
    return house.files.uploads_folder / upload.id


def half_deleted(house):
    with house.database.write() as session:
        job = ended_job(session)
        deletion.begin(session, jobs.lock_alone(session, job.id))
        deletion.purge(session, job.id, rows=2)
    return job.id


def open_file(house):
    path = house.store(b"can be read by all")
    path.chmod(0o644)
    return path


def open_folder(house):
    house.files.folder.chmod(0o755)
    return house.files.folder


def foreign(house):
    with house.database.write() as session:
        session.query(SecretRecord).delete()
        session.add(SecretRecord(name="files", value="f" * 32, created_at=clock.utc_now()))
    return house.files.folder


def no_worker(house):
    with house.database.write() as session:
        factories.searching_job(session)
        session.execute(update(WorkerRecord).values(last_seen=clock.utc_now() - timedelta(hours=1)))
        leader.take(session, "somebody", lease_seconds=60)
        liveness.note_service(session, seconds=60)
    return "workers"


def overdue(house):
    no_worker(house)
    with house.database.write() as session:
        held = factories.must_claim(session)
        session.execute(
            update(AttemptRecord)
            .where(AttemptRecord.state == AttemptState.ACTIVE)
            .values(lease_until=clock.now(session) - 100)
        )
    return f"trial {held.trial}"


def old_worker(house):
    no_worker(house)
    with house.database.write() as session:
        factories.must_claim(session, "outdated")
    return "outdated"


def silent_searcher(house):
    with house.database.write() as session:
        factories.searching_job(session)
        liveness.note_service(session, seconds=60)
        leader.take(session, "it was killed", lease_seconds=factories.OVER)
    return "searcher"


def silent_service(house):
    with house.database.write() as session:
        leader.take(session, "it searches", lease_seconds=60)
        liveness.note_service(session, seconds=factories.OVER)
    return "service"


Break = Callable[[Damaged], object]
DAMAGES: list[tuple[Break, str, str, bool]] = [
    (missing, "files", "a stored file is missing", False),
    (shorter, "files", "has 5 bytes, not 13", False),
    (unreferenced, "files", "nothing refers to", True),
    (unknown, "files", "the database does not know a file of 8 bytes", True),
    (strange, "files", "a path among", False),
    (temporary, "leftovers", "temporary file", True),
    (orphan, "leftovers", "does not know the upload", True),
    (unfinished, "leftovers", "never finished", True),
    (half_deleted, "jobs", "not been removed yet", True),
    (open_file, "modes", "others may read 1 of", True),
    (open_folder, "modes", "others may read 1 of", True),
    (foreign, "files", "marked by another database", False),
    (no_worker, "leases", "no worker was heard of", False),
    (overdue, "leases", "the lease of worker 'worker' is over", False),
    (old_worker, "versions", f"a worker runs version 0, this is {__version__}", False),
    (silent_searcher, "leases", "no sign of life for too long", False),
    (silent_service, "leases", "no sign of life for too long", False),
]


@pytest.mark.parametrize(
    ("damage", "check", "words", "repairable"), DAMAGES, ids=[d[0].__name__ for d in DAMAGES]
)
def test_a_damage_is_found_named_and_mended_where_that_is_safe(
    house, damage, check, words, repairable
):
    thing = str(damage(house))
    found = house.look()
    (one,) = [each for each in found if each.thing == thing and words in each.what]
    assert (one.check, one.repairable) == (check, repairable)
    assert one.mend
    doctor.repair(house.settings)
    left = house.look()
    assert [each for each in left if each.repairable] == []
    assert (one in left) is not repairable
    assert {each.what for each in left} <= {each.what for each in found}


def test_looking_changes_nothing(house):
    for damage in (unreferenced, unknown, temporary, orphan, open_file):
        damage(house)
    before = {path: path.stat() for path in house.files.folder.rglob("*")}
    first, again = house.look(deep=True), house.look()
    assert first == again
    after = {path: path.stat() for path in house.files.folder.rglob("*")}
    assert {p: (s.st_mode, s.st_mtime, s.st_ino) for p, s in before.items()} == {
        p: (s.st_mode, s.st_mtime, s.st_ino) for p, s in after.items()
    }


def test_only_a_deep_look_finds_a_file_with_other_bytes(house):
    path = house.store(b"right bytes")
    path.write_bytes(b"wrong bytes")
    assert house.look() == []
    (found,) = house.look(deep=True)
    assert (found.check, found.thing) == ("files", str(path))
    assert "corrupt" in found.what


def test_what_is_stored_in_this_moment_is_no_finding(house):
    arriving = house.files.arriving(limit=100)
    arriving.write(b"half")
    os.utime(arriving.path, (1, 1))
    stored = house.files.put([b"held"], limit=100)
    with house.files.held(stored.sha256):
        assert house.look() == []
    (found,) = house.look()
    assert found.thing.endswith(stored.sha256)
    arriving.drop()


def test_a_house_that_is_down_with_nothing_to_do_is_well_and_one_with_jobs_is_not(house):
    with house.database.write() as session:
        liveness.note_service(session, seconds=factories.OVER)
        leader.take(session, "gone", lease_seconds=factories.OVER)
    assert house.look() == []
    with house.database.write() as session:
        factories.job(session)
    silent = {one.thing for one in house.look() if one.check == "leases"}
    assert silent == {"searcher", "service"}


def test_unsafe_settings_are_found(house, monkeypatch, tmp_path):
    monkeypatch.setenv("FEATHERWEIGHT_ADMIN_TOKEN", "admin")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    settings = house.settings.model_copy(
        update={"host": "0.0.0.0", "min_free_bytes": 0, "lease_seconds": 1.0}
    )
    found = {one.thing for one in doctor.look(settings) if one.check == "settings"}
    assert found == {
        "FEATHERWEIGHT_HOST",
        "FEATHERWEIGHT_MIN_FREE_BYTES",
        "FEATHERWEIGHT_LEASE_SECONDS",
        "FEATHERWEIGHT_ADMIN_TOKEN",
    }
    elsewhere = house.settings.model_copy(update={"files": shared / "files"})
    assert str(shared) in {one.thing for one in doctor.look(elsewhere) if one.check == "settings"}


def test_little_room_is_found(house):
    settings = house.settings.model_copy(update={"min_free_bytes": 2**53})
    found = [one for one in doctor.look(settings) if one.check == "disk"]
    assert str(house.files.folder) in {one.thing for one in found}


def test_a_schema_of_another_version_is_all_that_is_looked_at(house):
    assert doctor.schema_findings(house.settings) == []
    with house.database.write() as session:
        session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    (found,) = doctor.schema_findings(house.settings)
    assert (found.check, found.thing) == ("versions", "schema")
    assert "featherweight migrate" in found.mend


def test_a_database_without_tables_cannot_be_looked_at(empty_database_url):
    with pytest.raises(CannotLook, match="is this the right database"):
        doctor.schema_findings(ServiceSettings(database_url=empty_database_url))


def test_what_another_database_stored_is_not_collected(house):
    path = unknown(house)
    foreign(house)
    doctor.repair(house.settings)
    assert path.exists()


def test_files_that_lay_there_before_the_folder_was_marked_go_only_when_asked(house):
    path = unknown(house)
    os.utime(path, (1, 1))
    careful = HousekeepingScope(
        database=house.database, files=house.files, settings=house.settings, grace=timedelta()
    )
    assert Caretaker(careful).turn() == {}
    assert path.exists()
    assert doctor.repair(house.settings)["unknown files"] == 1
    assert not path.exists()


def test_everything_a_store_makes_is_for_its_owner_only(house):
    before = os.umask(0)
    try:
        store = FileStore(house.files.folder.parent / "new" / "files")
        store.put([b"bytes"], limit=10)
        store.begin_upload("up")
        store.append_upload("up", [b"x"], offset=0, limit=10)
        arriving = store.arriving(limit=10)
        home.settle(house.database, store)
        made = [store.folder.parent, store.folder, *store.folder.rglob("*")]
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made}
    assert {p: m for p, m in modes.items() if m != (0o700 if p.is_dir() else 0o600)} == {}
    arriving.drop()
