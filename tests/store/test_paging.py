"""Pages: nothing twice, nothing missed, whatever is inserted in between."""

import base64
import json

import pytest

from featherweight.specs.states import JobState, TrialState
from store import paging
from store.access import tokens
from store.errors import InvalidCursor
from store.files import datasets, models
from store.jobs import jobs
from store.tables.records import JobRecord
from store.trials import trials
from tests import factories


def all_pages(fetch, *, limit):
    found, cursor = [], None
    while True:
        rows, cursor = fetch(limit=limit, cursor=cursor)
        assert len(rows) <= limit
        found.extend(rows)
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
def test_pages_together_are_all_jobs_newest_first(database, limit):
    with database.write() as session:
        made = [factories.job(session).id for _ in range(6)]
    with database.read() as session:
        found = all_pages(lambda **page: jobs.page(session, **page), limit=limit)
    assert [job.id for job in found] == made[::-1]


def test_jobs_made_in_the_same_moment_are_all_listed(database):
    with database.write() as session:
        made = [factories.job(session) for _ in range(5)]
        for job in made:
            job.created_at = made[0].created_at
    with database.read() as session:
        found = all_pages(lambda **page: jobs.page(session, **page), limit=2)
    assert [job.id for job in found] == sorted((job.id for job in made), reverse=True)


def test_inserts_between_two_pages_shift_nothing(database):
    with database.write() as session:
        made = [factories.job(session).id for _ in range(4)]
        first, cursor = jobs.page(session, limit=2)
        factories.job(session)
        second, cursor = jobs.page(session, limit=2, cursor=cursor)
    assert [job.id for job in [*first, *second]] == made[::-1]
    assert cursor is None


def test_trials_are_listed_by_number_and_by_state(database):
    with database.write() as session:
        job = factories.searching_job(session, waiting=4)
        factories.must_claim(session)
        listed = all_pages(lambda **page: trials.page(session, job.id, **page), limit=2)
        assert [trial.number for trial in listed] == [0, 1, 2, 3, 4]
        waiting, cursor = trials.page(session, job.id, limit=2, state=TrialState.WAITING)
        rest, _ = trials.page(session, job.id, limit=2, cursor=cursor, state=TrialState.WAITING)
        assert [trial.number for trial in [*waiting, *rest]] == [2, 3, 4]


def test_jobs_are_listed_by_state(database):
    with database.write() as session:
        factories.job(session)
        running = factories.job(session, running=True)
        found, _ = jobs.page(session, limit=5, state=JobState.RUNNING)
    assert [job.id for job in found] == [running.id]


def test_everything_else_is_listed_newest_first(database):
    with database.write() as session:
        names = ["first", "second", "third"]
        for name in names:
            factories.dataset(session, name)
            factories.model(session, name)
            tokens.create(session, name=name, scopes=["read"])
        for listing in (datasets.page, models.page, tokens.page):
            found = all_pages(lambda _list=listing, **page: _list(session, **page), limit=2)
            assert [record.name for record in found] == names[::-1]


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_has_one_to_two_hundred_rows(database, limit):
    with database.read() as session, pytest.raises(ValueError, match="within 1 and 200"):
        jobs.page(session, limit=limit)


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "not a cursor",
        "é",
        "AAAA",
        encoded({}),
        encoded(None),
        encoded([]),
        encoded(["fw_jobs"]),
        encoded(["fw_jobs", "yesterday", "id"]),
        encoded(["fw_jobs", "2026-01-01T00:00:00", "no zone"]),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", 7]),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", "id", "more"]),
        encoded(["fw_jobs", 5, "id"]),
        encoded(["fw_trials", 5]),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", "\ud800"]),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", "a\x00b"]),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", "a" * 300]),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", ["id"]]),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", {"id": "id"}]),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", True]),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", float("nan")]),
        encoded(["fw_jobs", "0001-01-01T00:00:00+23:59", "id"]),
        encoded(["fw_jobs", "9999-12-31T23:59:59-23:59", "id"]),
        encoded(["\ud800", "2026-01-01T00:00:00+00:00", "id"]),
        encoded([["fw_jobs"], "2026-01-01T00:00:00+00:00", "id"]),
        encoded("fw_jobs"),
        encoded(["fw_jobs", "2026-01-01T00:00:00+00:00", "id"]) + "!",
        base64.urlsafe_b64encode(b"[" * 290).decode(),
        base64.urlsafe_b64encode(b'["fw_jobs", "' + b"\xff" * 8 + b'", "id"]').decode(),
        base64.urlsafe_b64encode(b'["fw_jobs", ' + b"9" * 250 + b', "id"]').decode(),
    ],
)
def test_a_cursor_that_this_listing_did_not_make_is_refused(database, cursor):
    with database.read() as session, pytest.raises(InvalidCursor):
        jobs.page(session, limit=5, cursor=cursor)


@pytest.mark.parametrize(
    "number", ["1", 1.5, 2**40, 2**70, -(2**40), None, True, [1], float("inf")]
)
def test_a_trials_cursor_holds_a_small_whole_number(database, number):
    with database.read() as session, pytest.raises(InvalidCursor):
        trials.page(session, "job", limit=5, cursor=encoded(["fw_trials", number]))


def test_a_cursor_survives_its_journey(database):
    key = (JobRecord.created_at, JobRecord.id)
    with database.write() as session:
        job = factories.job(session)
        assert paging.decode(paging.encode(job, key), key) == [job.created_at, job.id]
