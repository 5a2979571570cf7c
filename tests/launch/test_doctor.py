"""``featherweight doctor`` and ``delete`` beside a running house, and on one that is not there."""

import json
import stat

import pytest

from featherweight.specs.states import JobState
from store.jobs import jobs
from store.session import open_database
from tests import factories
from tests.running import call


@pytest.fixture
def ended(house):
    """Ids of two jobs that were cancelled."""
    database = open_database(house.database_url, check_schema=False)
    with database.write() as session:
        made = [factories.job(session) for _ in range(2)]
        for job in made:
            jobs.cancel(session, job.id)
            jobs.move(session, job, JobState.CANCELLED)
    database.dispose()
    return [job.id for job in made]


def test_jobs_are_deleted_after_a_yes(run, house, ended):
    one, two = ended
    asked = call("delete", one, **house.settings)
    assert asked.returncode == 1
    assert one in asked.stderr
    assert run("jobs", "--json").json[0]["state"] == "cancelled"
    done = run("delete", "--yes", one, two)
    assert (done.status, done.out.count("is deleted")) == (0, 2)
    found = run("watch", one)
    assert (found.status, f"no job {one}" in found.err) == (1, True)


def test_an_unfinished_job_is_not_deleted(run, house):
    database = open_database(house.database_url, check_schema=False)
    with database.write() as session:
        job = factories.job(session)
    found = run("delete", "--yes", job.id)
    assert (found.status, "cancel it" in found.err) == (1, True)
    with database.write() as session:
        jobs.cancel(session, job.id)
        jobs.move(session, jobs.get(session, job.id), JobState.CANCELLED)
    database.dispose()


@pytest.mark.proof
def test_a_house_that_was_made_by_commands_is_well(tmp_path):
    house = {
        "FEATHERWEIGHT_DATABASE_URL": f"sqlite:///{tmp_path}/var/featherweight.db",
        "FEATHERWEIGHT_FILES": str(tmp_path / "var/files"),
        "FEATHERWEIGHT_MIN_FREE_BYTES": "1",
    }
    nothing = call("doctor", **house)
    assert (nothing.returncode, "cannot look" in nothing.stderr) == (2, True)
    assert not (tmp_path / "var").exists()
    assert call("migrate", **house).returncode == 0
    well = call("doctor", "--json", **house)
    assert (well.returncode, json.loads(well.stdout)["healthy"]) == (0, True), well.stdout
    made = list((tmp_path / "var").rglob("*"))
    assert {path.name for path in made} >= {"featherweight.db", "studies.db"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700


@pytest.mark.proof
def test_an_unwell_house_is_told_and_mended(tmp_path):
    folder = tmp_path / "var"
    house = {"FEATHERWEIGHT_DATABASE_URL": f"sqlite:///{folder}/featherweight.db"}
    assert call("migrate", **house).returncode == 0
    (folder / "studies.db").chmod(0o644)
    options = ("doctor", "--folder", str(folder))
    unwell = call(*options, "--json", FEATHERWEIGHT_MIN_FREE_BYTES="1")
    (found,) = json.loads(unwell.stdout)["findings"]
    assert (unwell.returncode, found["check"], found["repairable"]) == (1, "modes", True)
    assert "others may read" in call(*options).stdout
    mended = call(*options, "--repair", "--json", FEATHERWEIGHT_MIN_FREE_BYTES="1")
    assert (mended.returncode, json.loads(mended.stdout)["repaired"]) == (0, {"modes": 1})
    assert call(*options, FEATHERWEIGHT_MIN_FREE_BYTES="1").returncode == 0
