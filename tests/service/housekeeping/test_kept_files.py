"""Files of trials that came to nothing go; what a job shows is the same before and after."""

import itertools
from datetime import timedelta

from featherweight.specs.states import JobState, Phase, TrialState
from service.housekeeping import kept_files
from service.housekeeping.caretaker import NAME, Caretaker
from service.housekeeping.tidying import HousekeepingScope
from service.settings import RetentionSettings
from store.attempts import attempts
from store.cluster import leader
from store.database import clock
from store.files import artifacts
from store.jobs import jobs
from store.tables.records import JobRecord
from store.trials import trials
from tests import factories
from tests.service.running import problem

SHOWN = ("front", "recommendation", "report")


def ended_job(service) -> str:
    """A job whose stopped trials are on its front, beside it, a control, and one that failed."""
    sizes = itertools.count(900, -50)
    with service.database.write() as session:
        job = factories.searching_job(
            session, waiting=0, budget={"trials": 12, "parallel_trials": 2}
        )
        for origin, accuracy in (
            ("sampler", 0.9),
            ("control", 0.3),
            ("sampler", 0.2),
            ("sampler", 0.85),
        ):
            factories.trial(session, job, origin=origin)
            held = factories.must_claim(session)
            measured = factories.measurement(accuracy, next(sizes))
            report = factories.report_of(session, held, measured=measured)
            attempts.report(session, held.attempt, held.token, report, decide=factories.stop)
        worst = factories.measurement(0.1, 2000)
        for _ in range(3):
            factories.trial(session, job)
            held = factories.must_claim(session)
            report = factories.report_of(session, held, measured=worst)
            attempts.report(session, held.attempt, held.token, report, decide=factories.stop)
        jobs.cancel(session, job.id)
        jobs.move(session, job, JobState.CANCELLED)
        session.get_one(JobRecord, job.id).finished_at = clock.utc_now() - timedelta(days=40)
    return job.id


def shown(service, job):
    return [service.client.get(f"/v1/jobs/{job}/{what}").json() for what in SHOWN]


def caretaker(service, **settings) -> Caretaker:
    given = RetentionSettings(
        database_url=service.database.url, files=service.files.folder, **settings
    )
    house = HousekeepingScope(
        database=service.database, files=service.files, settings=given, grace=timedelta()
    )
    return Caretaker(house)


def test_a_job_shows_the_same_after_its_lost_files_are_gone(either_service):
    service = either_service
    job = ended_job(service)
    before = shown(service, job)
    with service.database.read() as session:
        rows = {trial.id: trial for trial in trials.of_job(session, job)}
        had = artifacts.of_job(session, job)
        going = set(kept_files.dispensable(session, job))
    gone = [file for file in had if file.id in going]
    assert len(gone) >= 3
    assert {rows[file.trial_id].state for file in gone} == {TrialState.STOPPED}
    removed = caretaker(service).turn()
    assert removed is not None
    assert removed["files of stopped trials"] == len(going)
    service.client.app.state.resources.answers._kept.clear()
    assert shown(service, job) == before
    on_front = {point["artifact"] for point in before[0]["points"]}
    stopped = {t.id for t in rows.values() if t.state == TrialState.STOPPED}
    assert any(file.id in on_front and file.trial_id in stopped for file in had)
    for file in gone:
        found = problem(service.client.get(f"/v1/artifacts/{file.id}"), 404, "ArtifactNotFound")
        assert "stopped or failed" in found["detail"]
        trial = service.client.get(f"/v1/trials/{file.trial_id}").json()
        assert trial["file"] == rows[file.trial_id].file_sha256
        assert trial["measurement"]["accuracy"]["validation"] < 0.5
    with service.database.read() as session:
        assert {file.id for file in artifacts.of_job(session, job)} == {f.id for f in had} - going


def test_files_stay_as_long_as_the_settings_say(service):
    job = ended_job(service)
    for days in (0, 41):
        removed = caretaker(service, keep_stopped_files_days=days).turn()
        assert removed is not None
        assert removed["files of stopped trials"] == 0
    with service.database.write() as session:
        session.get_one(JobRecord, job).finished_at = clock.utc_now()
    removed = caretaker(service).turn()
    assert removed is not None
    assert removed["files of stopped trials"] == 0


def test_files_of_an_unfinished_job_stay(service):
    with service.database.write() as session:
        job = factories.searching_job(session)
        held = factories.must_claim(session)
        report = factories.report_of(session, held)
        attempts.report(session, held.attempt, held.token, report, decide=factories.stop)
        assert trials.of_job(session, job.id, phase=Phase.SEARCH)[0].state == TrialState.STOPPED
    removed = caretaker(service, keep_stopped_files_days=0.0001).turn()
    assert removed is not None
    assert removed["files of stopped trials"] == 0


def test_only_one_process_tidies_at_a_time(either_service):
    service = either_service
    with service.database.write() as session:
        assert leader.take(session, "another", lease_seconds=60, name=NAME)
    assert caretaker(service).turn() is None
    with service.database.write() as session:
        leader.resign(session, "another", name=NAME)
    assert caretaker(service).turn() == {}
