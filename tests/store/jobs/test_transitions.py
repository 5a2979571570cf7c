"""Whatever workers, users and the searcher do, in any order: no illegal change of any state."""

import uuid
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from featherweight.specs.protocol import Failure
from featherweight.specs.states import (
    ATTEMPT_TRANSITIONS,
    FINAL_STATE,
    JOB_TRANSITIONS,
    TRIAL_TRANSITIONS,
    AttemptState,
    FailureClass,
    JobState,
    StopReason,
    TrialState,
)
from store.attempts import attempts
from store.errors import Conflict, IllegalTransition, JobNotFound
from store.jobs import events, jobs, transitions
from store.trials import trials
from tests import factories

WORKERS = st.integers(0, 2)
DECISIONS = st.sampled_from([factories.climb, factories.stop])
OUTCOMES = st.sampled_from(["complete", "complete", "release", *FailureClass])


@pytest.mark.parametrize("table", [JOB_TRANSITIONS, TRIAL_TRANSITIONS, ATTEMPT_TRANSITIONS])
def test_every_state_has_its_transitions(table):
    states = type(next(iter(table)))
    assert set(table) == set(states)
    assert all(follower in table for followers in table.values() for follower in followers)


@pytest.mark.parametrize("now", JobState)
@pytest.mark.parametrize("to", JobState)
def test_a_job_only_moves_as_the_table_says(sqlite_database, now, to):
    with sqlite_database.write() as session:
        job = factories.job(session)
        job.state, job.stop_reason = now, _reason(to)
        if to in JOB_TRANSITIONS[now]:
            jobs.move(session, job, to, reason=StopReason.FINISHED)
            assert jobs.get(session, job.id).state == to
        else:
            # A deleted job is not there for whoever asks for it.
            expected = JobNotFound if now == JobState.DELETED else IllegalTransition
            with pytest.raises(expected):
                jobs.move(session, job, to, reason=StopReason.FINISHED)


def _reason(to):
    return next((reason for reason, final in FINAL_STATE.items() if final is to), None)


@pytest.mark.parametrize("now", TrialState)
@pytest.mark.parametrize("to", TrialState)
def test_a_trial_only_moves_as_the_table_says(sqlite_database, now, to):
    with sqlite_database.write() as session:
        job = factories.job(session, running=True)
        trial = factories.trial(session, job)
        job.counts, trial.state = {now: 1}, now
        if to in TRIAL_TRANSITIONS[now]:
            transitions.move_trial(session, job, trial, to)
            assert (trial.state, job.counts[to], job.counts[now]) == (to, 1, 0)
        else:
            with pytest.raises(IllegalTransition):
                transitions.move_trial(session, job, trial, to)


def reachable(table, state):
    """States that any number of allowed steps lead to."""
    found, left = {state}, [state]
    while left:
        for follower in table[left.pop()] - found:
            found.add(follower)
            left.append(follower)
    return found


def check_changes(table, before, now):
    """Every change was possible, and what is finished is as it was."""
    for key, (was, facts) in before.items():
        is_now, facts_now = now[key]
        assert is_now in reachable(table, was), (was, is_now)
        assert table[was] or facts_now == facts


class Life(RuleBasedStateMachine):
    """One job, three workers that may die, lose answers, repeat themselves or come too late."""

    database = None

    def __init__(self):
        super().__init__()
        self.held = {}
        self.num_steps = 0
        self.before = None
        self.names = [f"{uuid.uuid4().hex}-{i}" for i in range(3)]
        with self.database.write() as session:
            self.job = factories.searching_job(session, waiting=4, budget={"trials": 9})

    def teardown(self):
        with self.database.write() as session:
            if jobs.get(session, self.job.id).state not in ("stopping", *FINAL_STATE.values()):
                jobs.cancel(session, self.job.id)
            attempts.reap(session)

    def step(self, act):
        """Do one thing in one transaction; a refusal is fine, and must change nothing."""
        self.num_steps += 1
        try:
            with self.database.write() as session:
                return act(session)
        except Conflict:
            return None

    @precondition(lambda self: self.num_steps > 3)
    @rule(ratio=st.integers(0, 20))
    def create(self, ratio):
        candidate = factories.candidate(0.5 + ratio / 100)
        self.step(lambda session: factories.trial(session, self.job, candidate=candidate))

    @rule(worker=WORKERS, dies=st.booleans())
    def claim(self, worker, dies):
        lease = factories.OVER if dies else factories.LEASE_SECONDS
        name = self.names[worker]
        claimed = self.step(lambda session: factories.claim(session, name, lease_seconds=lease))
        if claimed is not None:
            self.held[worker] = claimed

    @precondition(lambda self: self.held)
    @rule(data=st.data(), decide=DECISIONS)
    def report(self, data, decide):
        self.report_one(data.draw(st.sampled_from(list(self.held.values()))), decide)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), outcome=OUTCOMES)
    def end(self, data, outcome):
        self.end_one(data.draw(st.sampled_from(list(self.held.values()))), outcome)

    @rule(worker=WORKERS, decisions=st.lists(DECISIONS, max_size=3), outcome=OUTCOMES)
    def claim_report_and_end(self, worker, decisions, outcome):
        self.claim(worker, dies=False)
        if (mine := self.held.get(worker)) is not None:
            for decide in decisions:
                self.report_one(mine, decide)
            self.end_one(mine, outcome)

    def report_one(self, mine, decide):
        def act(session):
            rung = trials.get(session, mine.trial).rung
            what = factories.report_of(session, mine, rung=0 if rung is None else rung + 1)
            attempts.report(session, mine.attempt, mine.token, what, decide=decide)

        self.step(act)

    def end_one(self, mine, outcome):
        match outcome:
            case "complete" | "release":
                act = getattr(attempts, outcome)
                self.step(lambda session: act(session, mine.attempt, mine.token))
            case kind:
                file = mine.dataset if kind == FailureClass.FILE_LOST else None
                failure = Failure(failure_class=kind, message="as it happened", file=file)
                self.step(lambda s: attempts.fail(s, mine.attempt, mine.token, failure))

    @precondition(lambda self: self.held)
    @rule()
    def reap(self):
        self.step(attempts.reap)

    @precondition(lambda self: self.num_steps > 8)
    @rule(change=st.sampled_from([jobs.resume, jobs.pause]))
    def pause_or_resume(self, change):
        self.step(lambda session: change(session, self.job.id))

    @precondition(lambda self: self.num_steps > 15)
    @rule()
    def cancel(self):
        self.step(lambda session: jobs.cancel(session, self.job.id))

    @precondition(lambda self: self.num_steps > 15)
    @rule()
    def finish(self):
        def act(session):
            job = jobs.get(session, self.job.id)
            if job.state == JobState.STOPPING:
                jobs.move(session, job, JobState.CANCELLED)

        self.step(act)

    @invariant()
    def states_change_only_as_the_tables_say(self):
        with self.database.read() as session:
            now = self.look(session)
        if self.before is not None:
            for table, name in (
                (JOB_TRANSITIONS, "jobs"),
                (TRIAL_TRANSITIONS, "trials"),
                (ATTEMPT_TRANSITIONS, "attempts"),
            ):
                check_changes(table, getattr(self.before, name), getattr(now, name))
        self.before = now

    def look(self, session):
        job = jobs.get(session, self.job.id)
        of_job = trials.of_job(session, job.id)
        leases = [lease for trial in of_job for lease in attempts.of_trial(session, trial.id)]
        self.check_counts(session, job, of_job, leases)
        return SimpleNamespace(
            jobs={job.id: (JobState(job.state), job.finished_at)},
            trials={
                t.id: (TrialState(t.state), (t.measurement, t.reason, t.finished_at, t.failures))
                for t in of_job
            },
            attempts={a.id: (AttemptState(a.state), (a.detail, a.finished_at)) for a in leases},
        )

    def check_counts(self, session, job, of_job, leases):
        counts = jobs.counts(session, [job.id])[job.id]
        for state in TrialState:
            assert getattr(counts, state) == sum(trial.state == state for trial in of_job)
        active = [lease.trial_id for lease in leases if lease.state == AttemptState.ACTIVE]
        running = [trial.id for trial in of_job if trial.state == TrialState.RUNNING]
        assert sorted(active) == sorted(running)
        assert len(active) <= job.parallel_trials
        seqs = [event.seq for event in events.after(session, job.id, 0)]
        assert seqs == list(range(1, job.last_event + 1))


@pytest.mark.parametrize(
    "database_url",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.proof)],
    indirect=True,
)
def test_no_order_of_steps_leads_to_an_illegal_state(database):
    life = type("LifeHere", (Life,), {"database": database})
    run_state_machine_as_test(
        life,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            # To make a failure shorter would take minutes on a real database.
            phases=[Phase.generate],
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert life.database is database
