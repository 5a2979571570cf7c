"""Files on meters: one lease at a time, nothing lost with a meter, and nobody waits for one."""

import pytest

from featherweight.specs.states import JobState, MeteringState, StopReason
from store.database import clock
from store.errors import MeasurementNotFound, StaleAttempt, TooManyMeters
from store.files import artifacts
from store.housekeeping import deletion, retention
from store.jobs import jobs
from store.meters import meterings, meters, plans
from store.tables.records import ArtifactRecord, MeteringRecord
from tests import factories, meter_factories

LEASE = factories.LEASE_SECONDS


def planned(session, *names):
    """Ids of the files of a job's baseline trial, chosen for these meters."""
    job = factories.searching_job(session, waiting=0)
    [baseline, *_] = session.query(ArtifactRecord).filter_by(job_id=job.id, role="onnx")
    files = [baseline.id]
    for name in names:
        meters.seen(session, meter_factories.info(name))
        plans.plan(session, name, job, files)
    return job, files


def finish(session, job):
    jobs.move(session, job, JobState.STOPPING, reason=StopReason.FINISHED)
    jobs.move(session, job, JobState.SUCCEEDED)
    session.flush()


def claim(session, name="board", *, boot_id=None, lease_seconds=LEASE):
    info = meter_factories.info(name, boot_id=boot_id)
    return meterings.claim(session, info, lease_seconds=lease_seconds)


def test_two_meters_measure_one_file_each_for_itself(database):
    with database.write() as session:
        _, [artifact] = planned(session, "board", "phone")
        tasks = [claim(session, name) for name in ("board", "phone")]
        assert claim(session, "board", boot_id="0" * 32) is None
        assert [task.artifact for task in tasks] == [artifact] * 2
        assert tasks[0].example == (1, 8, 8)
        assert tasks[0].sha256 == artifacts.get(session, artifact).sha256
        for task, ms in zip(tasks, (2.0, 3.0), strict=True):
            result = meter_factories.result(ms)
            meterings.report(session, task.measurement, task.token, result)
        found = meterings.done_of_artifact(session, artifact)
        figures = [(one.meter, one.figures[0].latency_ms) for one in found]
        assert figures == [("board", 2.0), ("phone", 3.0)]
        assert {one.cpu for one in found} == {"4 x Arm Cortex-A76"}
        assert claim(session) is None


def test_a_repeated_claim_gets_the_same_file_under_a_new_token(database):
    with database.write() as session:
        planned(session, "board")
        first, again = claim(session), claim(session)
        assert again.measurement == first.measurement
        with pytest.raises(StaleAttempt):
            meterings.heartbeat(session, first.measurement, first.token, lease_seconds=LEASE)
        beat = meterings.heartbeat(session, again.measurement, again.token, lease_seconds=LEASE)
        assert beat.lease_seconds == LEASE


def test_a_lease_that_is_over_is_refused_and_the_file_waits_again(database):
    with database.write() as session:
        planned(session, "board")
        frozen = claim(session, lease_seconds=factories.OVER)
        for act in (
            lambda: meterings.heartbeat(
                session, frozen.measurement, frozen.token, lease_seconds=LEASE
            ),
            lambda: meterings.report(
                session, frozen.measurement, frozen.token, meter_factories.result()
            ),
            lambda: meterings.release(session, frozen.measurement, frozen.token),
        ):
            with pytest.raises(StaleAttempt):
                act()
        restarted = claim(session, boot_id="1" * 32)
        assert restarted.measurement == frozen.measurement
        with pytest.raises(StaleAttempt):
            meterings.report(session, frozen.measurement, frozen.token, meter_factories.result())
        done = meterings.report(
            session, restarted.measurement, restarted.token, meter_factories.result(4.0)
        )
        assert (done.state, done.figures[0].latency_ms) == (MeteringState.DONE, 4.0)


def test_a_report_is_kept_once(database):
    with database.write() as session:
        job, _ = planned(session, "board")
        task = claim(session)
        for ms in (2.0, 9.0):
            told = meterings.report(
                session, task.measurement, task.token, meter_factories.result(ms)
            )
            assert told.figures[0].latency_ms == 2.0
        assert meterings.num_done(session, job.id) == 1


def test_a_file_that_the_meter_is_lost_with_again_and_again_is_given_up(database):
    with database.write() as session:
        _, [artifact] = planned(session, "board")
        for boot in range(meterings.MOST_CLAIMS):
            assert claim(session, boot_id=f"{boot:032x}", lease_seconds=factories.OVER)
        assert claim(session) is None
        [told] = meterings.of_artifact(session, artifact)
        assert told.state == MeteringState.DONE
        assert told.detail.startswith("given up: the meter was lost with this file 3 times")
        assert told.figures == ()


def test_a_file_that_is_given_back_counts_for_nothing(database):
    with database.write() as session:
        planned(session, "board")
        for _ in range(2 * meterings.MOST_CLAIMS):
            task = claim(session)
            told = meterings.release(session, task.measurement, task.token)
            assert told.state == MeteringState.WAITING


def test_a_job_is_looked_at_once_until_it_changes_and_a_running_one_not_at_once(database):
    with database.write() as session:
        job, files = planned(session, "board")
        assert plans.next_job(session, "board") is None
        assert plans.next_job(session, "phone").id == job.id
        finish(session, job)
        assert plans.next_job(session, "board").id == job.id
        plans.plan(session, "board", job, files)
        assert plans.next_job(session, "board") is None


def test_a_file_that_leaves_the_front_waits_no_more_but_keeps_its_figures(database):
    with database.write() as session:
        job, [artifact] = planned(session, "board", "phone")
        task = claim(session, "phone")
        meterings.report(session, task.measurement, task.token, meter_factories.result())
        for name in ("board", "phone"):
            plans.plan(session, name, job, [])
        assert claim(session, "board") is None
        assert [one.meter for one in meterings.of_artifact(session, artifact)] == ["phone"]


def test_files_of_the_newest_job_come_first(database):
    with database.write() as session:
        older, _ = planned(session, "board")
        newer, _ = planned(session, "board")
        assert [claim(session, boot_id=b * 32).job for b in "01"] == [newer.id, older.id]


def test_a_deleted_job_takes_its_measurements_along(database):
    with database.write() as session:
        job, files = planned(session, "board")
        task = claim(session)
        finish(session, job)
        deletion.begin(session, jobs.lock(session, job.id))
        assert claim(session, boot_id="1" * 32) is None
        plans.plan(session, "board", job, files)
        session.flush()
        while not deletion.purge(session, job.id, rows=1).is_last:
            pass
        assert session.query(MeteringRecord).count() == 0
        with pytest.raises(MeasurementNotFound):
            meterings.heartbeat(session, task.measurement, task.token, lease_seconds=LEASE)


def test_a_removed_file_takes_its_measurements_along(database):
    with database.write() as session:
        _, [artifact] = planned(session, "board")
        task = claim(session)
        retention.forget_files(session, [artifact])
        with pytest.raises(MeasurementNotFound):
            meterings.report(session, task.measurement, task.token, meter_factories.result())


def test_there_are_only_so_many_meters_and_old_ones_make_room(sqlite_database):
    with sqlite_database.write() as session:
        _, [artifact] = planned(session, "board", "phone")
        task = claim(session, "phone")
        meterings.report(session, task.measurement, task.token, meter_factories.result())
        for number in range(meters.MOST_METERS - 2):
            meters.seen(session, meter_factories.info(f"meter-{number}"))
        with pytest.raises(TooManyMeters, match="'another'"):
            meters.seen(session, meter_factories.info("another"))
        waiting = {one.name: one.waiting for one in meters.every(session)}
        assert (waiting["board"], waiting["phone"]) == (1, 0)
        assert retention.forget_meters(session, before=clock.utc_now()) == meters.MOST_METERS
        meters.seen(session, meter_factories.info("another"))
        assert [one.meter for one in meterings.of_artifact(session, artifact)] == ["phone"]
