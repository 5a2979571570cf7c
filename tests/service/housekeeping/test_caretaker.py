"""A running service tidies by itself, and stops in the middle of it when it is stopped."""

from datetime import timedelta

from store.database import clock
from store.housekeeping import deletion
from store.jobs import jobs
from store.tables.records import AuditRecord, JobRecord
from tests.service.running import serve, until
from tests.store.housekeeping.test_deletion import ended_job


def entry(number: int) -> AuditRecord:
    return AuditRecord(
        id=str(number),
        at=clock.utc_now() - timedelta(days=366),
        actor="somebody",
        action="create",
        kind="job",
        subject="it",
        name="it",
        detail={},
    )


def test_a_running_service_removes_what_may_go(database_url, tmp_path):
    with serve(database_url, tmp_path, tidy_seconds=0.05) as service:
        with service.database.write() as session:
            session.add(entry(0))
            job = ended_job(session)
            deletion.begin(session, jobs.lock_alone(session, job.id))

        def is_tidy():
            with service.database.read() as session:
                entries, found = (
                    session.query(AuditRecord).count(),
                    session.query(JobRecord).count(),
                )
            return not entries and not found

        until(is_tidy, seconds=60)
        assert service.client.get("/v1/jobs").json()["items"] == []


def test_a_service_that_is_told_to_tidy_never_does_not(service, sqlite_url, tmp_path):
    with service.database.write() as session:
        session.add(entry(0))
    with serve(sqlite_url, tmp_path, tidy_seconds=0) as idle:
        assert idle.client.get("/healthz").status_code == 200
        with idle.database.read() as session:
            assert session.query(AuditRecord).count() == 1


def test_a_service_stops_while_there_is_still_much_to_remove(database_url, tmp_path):
    with serve(database_url, tmp_path, tidy_seconds=0.01) as service:
        with service.database.write() as session:
            session.add_all(entry(number) for number in range(3000))
        until(lambda: service.client.get("/healthz").status_code == 200)
    with service.database.read() as session:
        assert session.query(AuditRecord).count() % 500 == 0
    service.database.dispose()  # opened again
