"""Events: numbered without gaps, in the order of the commits, and read from anywhere."""

import threading

from store.jobs import events, jobs
from tests import factories


def test_events_of_concurrent_writers_have_no_gaps_and_no_reader_misses_one(database):
    with database.write() as session:
        job = factories.job(session)
    writing = threading.Event()

    def write(worker):
        for i in range(15):
            with database.write() as session:
                events.append(session, jobs.lock(session, job.id), "test", {"from": [worker, i]})

    seen: list[int] = []

    def read():
        while True:
            was_writing = writing.is_set()
            with database.read() as session:
                last = seen[-1] if seen else 0
                seen.extend(event.seq for event in events.after(session, job.id, last))
            if not was_writing:
                return

    writing.set()
    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    writing.clear()
    reader.join()
    assert seen == list(range(1, 62))


def test_a_rolled_back_event_leaves_no_gap(database):
    with database.write() as session:
        job = factories.job(session)
    with database.read() as session:
        pass
    try:
        with database.write() as session:
            events.append(session, jobs.lock(session, job.id), "lost", {})
            raise RuntimeError("on the way")
    except RuntimeError:
        pass
    with database.write() as session:
        assert events.append(session, jobs.lock(session, job.id), "kept", {}) == 2
        assert [event.type for event in events.after(session, job.id, 0)] == ["job.queued", "kept"]


def test_reading_goes_on_after_any_number(database):
    with database.write() as session:
        job = factories.job(session)
        for i in range(5):
            events.append(session, job, "test", {"i": i})
    with database.read() as session:
        assert [event.seq for event in events.after(session, job.id, 2, limit=3)] == [3, 4, 5]
        assert events.after(session, job.id, 6) == []
        assert events.first_seq(session, job.id) == 1
        assert events.first_seq(session, "nothing") is None


def test_events_of_other_jobs_are_not_seen(database):
    with database.write() as session:
        one, two = factories.job(session), factories.job(session)
        events.append(session, one, "test", {})
        assert [event.seq for event in events.after(session, two.id, 0)] == [1]


def test_a_trials_life_is_told_in_order(database):
    with database.write() as session:
        job = factories.searching_job(session)
        mine = factories.must_claim(session)
        factories.deliver(session, mine)
        told = [
            event for event in events.after(session, job.id, 0) if event.data.get("number") == 1
        ]
    assert [event.type for event in told] == [
        "trial.created",
        "trial.running",
        "trial.rung",
        "trial.rung",
        "trial.complete",
    ]
    assert all(event.data["trial"] == mine.trial for event in told)
    assert told[1].data["worker"] == "worker"
    assert told[4].data["reason"] == "last rung"
    assert told[4].data["accuracy"] == 0.9
