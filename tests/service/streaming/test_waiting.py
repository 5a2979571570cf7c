"""Workers that wait: one look for all of them, the oldest first, and no turn is lost."""

import asyncio
import threading
from contextlib import ExitStack, contextmanager

import httpx2
import pytest
from sqlalchemy import Engine, event

from service.streaming import lookouts
from service.streaming.notifications import Notifications
from service.streaming.waiting import WaitingLine
from store.access import tokens
from store.attempts import attempts
from store.cluster.watch import Watcher
from store.database.outages import OUTAGES
from store.jobs import jobs
from store.session import Database
from tests import factories
from tests.service.running import listening, problem, until


def ask(url, name, answers, *, seconds=20.0, headers=None):
    """Wait for a trial in the name of a worker; the answer is put under the name."""
    body = {"worker": factories.worker_info(name).model_dump(mode="json"), "wait_seconds": seconds}

    def wait():
        answers[name] = httpx2.post(f"{url}/v1/attempts", json=body, timeout=60, headers=headers)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def add_trials(service, job, count):
    with service.database.write() as session:
        return [factories.trial(session, jobs.lock(session, job)).id for _ in range(count)]


def is_known(service, name):
    with service.database.read() as session:
        found = session.connection().exec_driver_sql("SELECT name FROM fw_workers").all()
    return name in {row[0] for row in found}


def waiting_workers(service, url, names, answers, **options):
    """Threads of workers that have claimed in vain, one after another, and wait now."""
    threads = []
    for name in names:
        threads.append(ask(url, name, answers, **options))
        until(lambda name=name: is_known(service, name))
    return threads


def test_as_many_workers_as_there_are_trials_get_one_and_the_rest_sleep_on(either_service):
    service = either_service
    budget = {"trials": 12, "parallel_trials": 8}
    job = service.searching_job(waiting=0, budget=budget)
    answers = {}
    with listening(service.settings) as url:
        names = [f"worker-{number}" for number in range(6)]
        threads = waiting_workers(service, url, names, answers)
        wanted = set(add_trials(service, job, 2))
        until(lambda: len(answers) == 2)
        assert {answer.json()["trial"] for answer in answers.values()} == wanted
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(answer.status_code for answer in answers.values()) == [200, 200, *[204] * 4]


def test_the_worker_that_has_waited_longest_gets_the_trial(service):
    job = service.searching_job(waiting=0)
    answers = {}
    with listening(service.settings) as url:
        threads = waiting_workers(service, url, ["first", "second", "third"], answers)
        # Each has joined the line once its claim in vain is over: its answer is still out.
        until(lambda: metric_of_claims(url) == 3)
        add_trials(service, job, 1)
        until(lambda: answers)
        assert list(answers) == ["first"]
        with service.database.write() as session:
            found = answers["first"].json()
            attempts.release(session, found["attempt"], found["token"])
        until(lambda: len(answers) == 2)
        assert set(answers) == {"first", "second"}
    for thread in threads:
        thread.join(timeout=10)


def metric_of_claims(url):
    text = httpx2.get(f"{url}/metrics").text
    [line] = [
        one for one in text.splitlines() if one.startswith("featherweight_claim_seconds_count")
    ]
    return float(line.rpartition(" ")[2])


def test_a_worker_whose_token_was_revoked_while_it_waited_gets_no_trial(service):
    job = service.searching_job(waiting=0)
    doomed = service.token("work")
    answers = {}
    with listening(service.settings) as url:
        with service.database.write() as session:
            [record], _ = tokens.page(session, limit=1)
            kept = {
                "Authorization": f"Bearer {tokens.create(session, name='k', scopes=('work',))[1]}"
            }
        threads = waiting_workers(service, url, ["revoked"], answers, headers=doomed)
        threads += waiting_workers(service, url, ["valid"], answers, headers=kept)
        with service.database.write() as session:
            tokens.revoke(session, record.id)
        [trial] = add_trials(service, job, 1)
        for thread in threads:
            thread.join(timeout=20)
    problem(answers["revoked"], 401, "NotAuthenticated")
    assert answers["valid"].json()["trial"] == trial


def test_an_event_costs_one_look_however_many_workers_wait(service):
    """Statements that the service sends per event, with one and with twelve waiting workers."""
    job = service.searching_job(waiting=0)
    sent = {}
    for number in (1, 12):
        answers = {}
        names = [f"worker-{number}-{each}" for each in range(number)]
        with counted_statements() as count, listening(service.settings) as url:
            threads = waiting_workers(service, url, names, answers, seconds=30.0)
            until(lambda number=number, url=url: metric_of_claims(url) == number)
            before = count()
            for _ in range(5):
                seen = count()
                with service.database.write() as session:
                    jobs.set_phase(session, jobs.get(session, job), jobs.Phase.SEARCH)
                until(lambda count=count, seen=seen: count() > seen)
            sent[number] = count() - before
        for thread in threads:
            thread.join(timeout=20)
    assert 0 < sent[12] <= 2 * sent[1]


@contextmanager
def counted_statements():
    """Count what every engine of this process sends, but for what this test writes itself."""
    own, sent = threading.get_ident(), []

    def note(*_):
        if threading.get_ident() != own:
            sent.append(1)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield lambda: len(sent)
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def in_line(sqlite_url):
    """Run a coroutine function with a line on a database that nobody changes."""

    def run(work, count):
        async def main():
            database = Database(sqlite_url)
            notifications = Notifications(Watcher(database), asyncio.get_running_loop())
            line = WaitingLine(notifications, count)
            notifications.start()
            try:
                async with lookouts.running(line.lookout):
                    return await work(line, notifications)
            finally:
                notifications.close()
                database.dispose()

        return asyncio.run(main())

    return run


def never():
    return asyncio.get_running_loop().create_future()


def test_a_turn_of_somebody_who_left_passes_to_the_next(in_line):
    async def work(line, notifications):
        leaving = ExitStack()
        first = leaving.enter_context(line.place(changes_known=0))
        with line.place(changes_known=0) as second:
            notifications.wake()
            assert await first.wait(never(), timeout=5)
            assert not second.is_called
            leaving.close()
            assert second.is_called

    in_line(work, lambda most: 1)


def test_who_claimed_in_vain_stands_before_all_who_came_later(in_line):
    async def work(line, notifications):
        with line.place(changes_known=0) as old, line.place(changes_known=0) as young:
            notifications.wake()
            assert await old.wait(never(), timeout=5)
            line.stand_back(old)
            notifications.wake()
            assert await old.wait(never(), timeout=5)
            assert not young.is_called

    in_line(work, lambda most: 1)


def test_a_wakeup_that_was_lost_is_made_up_for(in_line):
    async def work(line, notifications):
        with line.place(changes_known=notifications.num_changes) as place:
            assert await place.wait(never(), timeout=10)

    in_line(work, lambda most: 1)


def test_a_change_between_a_claim_in_vain_and_the_line_is_looked_at_at_once(in_line):
    async def work(line, notifications):
        known = notifications.num_changes
        notifications.wake()
        await asyncio.sleep(0.2)
        with line.place(changes_known=known) as place:
            assert await place.wait(never(), timeout=1)

    in_line(work, lambda most: 1)


def test_an_outage_ends_no_wait(in_line):
    found = iter([OUTAGES[0]("", None, ValueError()), ValueError("a bug"), 1])

    def count(most):
        answer = next(found)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def work(line, notifications):
        with line.place(changes_known=0) as place:
            for _ in range(3):
                notifications.wake()
                await asyncio.sleep(0.2)
            assert await place.wait(never(), timeout=5)

    in_line(work, count)


def test_nobody_waits_once_the_service_goes_down(in_line):
    async def work(line, notifications):
        with line.place(changes_known=0) as place:
            notifications.dismiss()
            assert await place.wait(never(), timeout=1)
        with line.place(changes_known=0) as late:
            assert await late.wait(never(), timeout=1)

    in_line(work, lambda most: 0)
