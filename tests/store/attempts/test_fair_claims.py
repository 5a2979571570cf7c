"""Owners share the workers equally, so do the jobs of one owner, and none has more than it may."""

import threading
from collections import Counter

import pytest
from sqlalchemy import text

from featherweight.specs.states import JobState
from store.cluster import liveness
from store.files import models
from store.jobs import jobs
from store.tables.records import AttemptRecord, JobRecord
from tests import factories

ROOMY = {"trials": 60, "parallel_trials": 50}


def waiting_job(session, owner, *, trials=12, **changes):
    """A running job of the owner with waiting trials."""
    model = models.named(session, "network") or factories.model(session)
    changes = {"budget": ROOMY} | changes
    job = factories.job(session, model=model, owner=owner, running=True, **changes)
    for _ in range(trials):
        factories.trial(session, job)
    return job.id


def owner_of(session, assignment):
    return session.get_one(JobRecord, assignment.job).owner


def claims(session, count, **options):
    """Owner and job of each of the claims of so many workers, in their order."""
    found = [factories.claim(session, f"w{number}", **options) for number in range(count)]
    return [(owner_of(session, one), one.job) for one in found if one is not None]


def test_owners_get_equal_shares_however_many_jobs_they_have(database):
    with database.write() as session:
        for _ in range(10):
            waiting_job(session, "many", trials=3)
        waiting_job(session, "one")
        owners = [owner for owner, _ in claims(session, 12)]
    assert Counter(owners) == {"many": 6, "one": 6}
    # At every moment, and not only in the end.
    assert all(
        abs(Counter(owners[:n])["many"] - Counter(owners[:n])["one"]) <= 1 for n in range(12)
    )


def test_jobs_of_an_owner_get_equal_shares(database):
    with database.write() as session:
        three = [waiting_job(session, "alice") for _ in range(3)]
        found = [job for _, job in claims(session, 9)]
    assert Counter(found) == dict.fromkeys(three, 3)
    assert found[:3] == three, "among equals the oldest is first"


def test_jobs_that_nobody_owns_share_as_those_of_one_owner(database):
    with database.write() as session:
        waiting_job(session, "")
        waiting_job(session, "")
        waiting_job(session, "alice")
        found = claims(session, 8)
    assert Counter(owner for owner, _ in found) == {"": 4, "alice": 4}
    assert sorted(Counter(job for _, job in found).values()) == [2, 2, 4]


def test_what_an_owner_does_not_use_goes_to_the_others(database):
    with database.write() as session:
        waiting_job(session, "short", trials=1)
        waiting_job(session, "long")
        assert Counter(owner for owner, _ in claims(session, 6)) == {"short": 1, "long": 5}


def test_trials_of_a_paused_job_count_for_its_owner(database):
    with database.write() as session:
        paused = waiting_job(session, "alice")
        claims(session, 4)
        jobs.pause(session, paused)
        waiting_job(session, "alice")
        waiting_job(session, "bob")
        found = [factories.claim(session, f"later-{number}") for number in range(4)]
        assert {owner_of(session, one) for one in found} == {"bob"}


def test_an_owner_at_the_limit_is_passed_over_and_nobody_else(database):
    with database.write() as session:
        for owner in ("alice", "alice", "bob", ""):
            waiting_job(session, owner)
        found = Counter(owner for owner, _ in claims(session, 20, per_owner=3))
    assert found == {"alice": 3, "bob": 3, "": 12}


def test_a_trial_that_ends_makes_room_for_one_more(database):
    with database.write() as session:
        waiting_job(session, "alice")
        mine = factories.must_claim(session, "a", per_owner=1)
        assert factories.claim(session, "b", per_owner=1) is None
        factories.deliver(session, mine)
        assert factories.claim(session, "b", per_owner=1) is not None


@pytest.mark.parametrize("per_owner", [1, 5, 40])
def test_the_limit_holds_under_concurrent_claims(database, per_owner):
    with database.write() as session:
        for _ in range(6):
            waiting_job(session, "alice", trials=8)
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        for turn in range(8):
            with database.write() as session:
                factories.claim(session, f"w{number}-{turn}", per_owner=per_owner)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        found = session.query(AttemptRecord).count()
    assert found == min(per_owner, 48)


def test_as_many_workers_are_called_as_owners_have_room_for(database):
    with database.write() as session:
        for owner in ("alice", "alice", "bob", ""):
            waiting_job(session, owner, trials=4)
        claims(session, 2)
        left = [
            liveness.num_claimable(session.connection(), most=most, per_owner=3)
            for most in (100, 5)
        ]
        assert left[1] == 5
        assert left[0] == len(claims(session, 40, per_owner=3)) - 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_frozen_claim_of_one_owner_stops_no_other_owner(database):
    with database.write() as session:
        waiting_job(session, "alice", trials=1)
        waiting_job(session, "bob", trials=1)
    turn = text("SELECT pg_advisory_xact_lock(hashtextextended('trials of alice', 0))")
    with database.engine.connect() as frozen:
        frozen.execute(turn)
        with database.write() as session:
            assert [owner for owner, _ in claims(session, 2, per_owner=1)] == ["bob"]
    with database.write() as session:
        assert owner_of(session, factories.must_claim(session, "later", per_owner=1)) == "alice"


def test_a_job_that_is_over_takes_no_share(database):
    with database.write() as session:
        over = waiting_job(session, "alice", trials=1)
        [(_, job)] = claims(session, 1)
        assert job == over
        jobs.cancel(session, over)
        assert jobs.get(session, over).state == JobState.STOPPING
        waiting_job(session, "bob", trials=1)
        assert owner_of(session, factories.must_claim(session, "b")) == "bob"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_claim_that_is_not_committed_yet_counts_at_the_limit(database):
    with database.write() as session:
        for _ in range(2):
            waiting_job(session, "alice", trials=2)
    with database.write() as first:
        assert factories.claim(first, "a", per_owner=1) is not None
        with database.write() as second:
            assert factories.claim(second, "b", per_owner=1) is None
    with database.write() as session:
        assert factories.claim(session, "b", per_owner=1) is None
