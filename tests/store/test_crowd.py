"""A crowd of workers, users and reapers on two jobs at once: nobody waits in a ring."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from featherweight.specs.protocol import Failure, Heartbeat
from featherweight.specs.states import FailureClass
from store.attempts import attempts
from store.errors import Conflict
from store.jobs import events, jobs
from store.trials import trials
from tests import factories

BROKEN = Failure(failure_class=FailureClass.INFRASTRUCTURE, message="as it happened")
NUM_THREADS = 5
NUM_STEPS = 40


def work(session, chance, name):
    """Claim one trial and do something with it."""
    over = chance.random() < 0.3
    mine = factories.claim(session, name, lease_seconds=factories.OVER if over else 30)
    if mine is None:
        return
    token = (session, mine.attempt, mine.token)
    match chance.randrange(4):
        case 0:
            factories.deliver(session, mine)
        case 1:
            attempts.fail(*token, BROKEN)
        case 2:
            attempts.release(*token)
        case _:
            attempts.heartbeat(*token, Heartbeat(), lease_seconds=30)


def steer(session, chance, job):
    """What the searcher and users do."""
    match chance.randrange(5):
        case 0:
            factories.trial(session, job, candidate=factories.candidate(chance.random() * 0.9))
        case 1:
            ended = trials.unreported(session, job.id)
            trials.mark_reported(session, job.id, [trial.id for trial in ended])
        case 2:
            jobs.pause(session, job.id)
        case 3:
            jobs.resume(session, job.id)
        case _:
            attempts.reap(session)


def live(database, number, both):
    """One member of the crowd; refusals are part of life."""
    chance = random.Random(number)
    for _ in range(NUM_STEPS):
        with suppress(Conflict), database.write() as session:
            if chance.random() < 0.6:
                work(session, chance, f"worker-{number}")
            else:
                steer(session, chance, chance.choice(both))
    return number


def test_a_crowd_neither_deadlocks_nor_loses_count(database):
    with database.write() as session:
        many = {"trials": 999, "parallel_trials": 3}
        both = [factories.searching_job(session, waiting=0, budget=many) for _ in range(2)]
        for job in both * 10:
            factories.trial(session, job)
    with ThreadPoolExecutor(NUM_THREADS) as crowd:
        done = crowd.map(live, [database] * NUM_THREADS, range(NUM_THREADS), [both] * NUM_THREADS)
        assert list(done) == list(range(NUM_THREADS))
    with database.read() as session:
        for job in both:
            check_counts(session, jobs.get(session, job.id))


def check_counts(session, job):
    found = [trial.state for trial in trials.of_job(session, job.id)]
    assert job.counts == {state: found.count(state) for state in job.counts}
    seqs = [event.seq for event in events.after(session, job.id, 0, limit=9999)]
    assert seqs == list(range(1, job.last_event + 1))
