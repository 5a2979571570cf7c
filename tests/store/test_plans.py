"""Listings and claims go through an index: their cost does not grow with the tables."""

import json
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import event, insert, text

from featherweight.specs.states import AttemptState, JobState, TrialState
from store.access import limits
from store.attempts import attempts
from store.attempts.claims import open_jobs
from store.cluster import liveness
from store.database import clock
from store.jobs import events, jobs, progress
from store.tables.records import AttemptRecord, EventRecord, JobRecord, TrialRecord
from store.trials import trials
from tests import factories

NUM_JOBS = 2000
NUM_TRIALS = 5000


def columns_of(record):
    return {column.key: getattr(record, column.key) for column in record.__mapper__.column_attrs}


@pytest.fixture
def large(database):
    """Id of a running job with 5,000 finished trials and events, beside 2,000 finished jobs."""
    with database.write() as session:
        job = factories.searching_job(session, budget={"trials": 9999})
        row = columns_of(job) | {"state": JobState.CANCELLED, "finished_at": clock.utc_now()}
        old = [
            row | {"id": str(uuid.uuid4()), "created_at": clock.utc_now() - timedelta(seconds=i)}
            for i in range(NUM_JOBS)
        ]
        session.execute(insert(JobRecord), old)
        last = columns_of(trials.of_job(session, job.id)[-1]) | {"state": TrialState.COMPLETE}
        many = [
            last | {"id": str(uuid.uuid4()), "number": i, "told": True, "seed": i}
            for i in range(10, NUM_TRIALS + 10)
        ]
        session.execute(insert(TrialRecord), many)
        session.execute(insert(AttemptRecord), [attempt_of(row) for row in many])
        news = {"type": "test", "data": {}, "at": clock.utc_now(), "job_id": job.id}
        session.execute(
            insert(EventRecord), [news | {"seq": i} for i in range(100, NUM_TRIALS + 100)]
        )
        session.execute(text("ANALYZE"))
    return job.id


def attempt_of(row):
    """A finished attempt at the trial."""
    return {
        "id": str(uuid.uuid4()),
        "trial_id": row["id"],
        "job_id": row["job_id"],
        "worker": "worker",
        "boot_id": "0",
        "state": AttemptState.DELIVERED,
        "token_sha256": "0" * 64,
        "lease_until": 0.0,
        "detail": "",
        "started_at": clock.utc_now(),
    }


def plans(database, look):
    """The plans of every query that ``look`` sends."""
    sent = []

    def remember(connection, cursor, statement, parameters, context, many):
        if statement.startswith(("SELECT", "WITH")):
            sent.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", remember)
    with database.read() as session:
        look(session)
    event.remove(database.engine, "before_cursor_execute", remember)
    assert sent
    return [explain(database, statement, parameters) for statement, parameters in sent]


def explain(database, statement, parameters):
    word = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN (FORMAT JSON)"
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"{word} {statement}", parameters).all()
    if database.dialect == "sqlite":
        return [row.detail for row in rows]
    return [json.dumps(row[0]) for row in rows]


SMALL = "ix_fw_jobs_unfinished"
"""An index that holds unfinished jobs only: to walk through it, or to sort them, is cheap."""


def whole_table_reads(plan, *, has_limit=False):
    if any(SMALL in line for line in plan):
        return []
    return [
        line
        for line in plan
        if "Seq Scan" in line
        or '"Node Type": "Sort"' in line
        or "TEMP B-TREE FOR ORDER BY" in line
        # Walking an index is fine where a limit ends the walk.
        or (line.startswith("SCAN fw_") and not (has_limit and "USING" in line))
    ]


LOOKS = {
    "first page of jobs": lambda session, job: jobs.page(session, limit=50),
    "next page of jobs": lambda session, job: jobs.page(
        session, limit=50, cursor=jobs.page(session, limit=50)[1]
    ),
    "jobs in a state": lambda session, job: jobs.page(session, limit=50, state=JobState.RUNNING),
    "active jobs": lambda session, job: jobs.active(session),
    "first page of trials": lambda session, job: trials.page(session, job, limit=50),
    "next page of trials": lambda session, job: trials.page(
        session, job, limit=50, cursor=trials.page(session, job, limit=50)[1]
    ),
    "trials in a state": lambda session, job: trials.page(
        session, job, limit=50, state=TrialState.WAITING
    ),
    "unreported trials": lambda session, job: trials.unreported(session, job),
    "events after a number": lambda session, job: events.after(session, job, 4000, limit=50),
    "jobs with something to do": lambda session, job: session.execute(
        open_jobs(), {"per_owner": 256}
    ).all(),
    "how many trials workers could claim": lambda session, job: liveness.num_claimable(
        session.connection(), most=50, per_owner=256
    ),
    "jobs of an owner": lambda session, job: jobs.page(session, limit=50, owner="somebody"),
    "jobs of a name": lambda session, job: jobs.page(session, limit=50, name="twins"),
    "a trial of a number": lambda session, job: trials.page(session, job, limit=1, number=7),
    "unfinished jobs of an owner": lambda session, job: limits.check_jobs(
        session, "somebody", most=100
    ),
    "how far jobs' events are": lambda session, job: events.heads(session, [job]),
    "the last event of a job": lambda session, job: jobs.last_event(session, job),
    "how far a job has come": lambda session, job: progress.counted(
        session, jobs.get(session, job), num_rungs=2
    ),
    "active attempts": lambda session, job: attempts.active_count(session, job),
}


def test_every_look_goes_through_an_index(database, large):
    # Rungs are few in this store, and a small table may well be read as a whole.
    found = {
        name: [
            line
            for plan in plans(database, lambda session, look=look: look(session, large))
            for line in whole_table_reads(plan, has_limit="page of jobs" in name)
            if "fw_rungs" not in line
        ]
        for name, look in LOOKS.items()
    }
    assert found == {name: [] for name in LOOKS}


def test_a_look_at_the_whole_table_would_be_seen(database, large):
    by_name = plans(
        database,
        lambda session: session.query(JobRecord).filter_by(phase="other").order_by("phase").all(),
    )
    assert [line for plan in by_name for line in whole_table_reads(plan)] != []
