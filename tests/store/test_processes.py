"""Real processes on one database: each trial exactly once, whatever dies."""

import subprocess
import sys
from pathlib import Path

import pytest

from featherweight.specs.states import TrialState
from store.attempts import attempts
from store.jobs import jobs
from store.trials import trials
from tests import factories

ROOT = Path(__file__).parents[2]


def start(url, name, mode):
    command = [sys.executable, "-W", "error", "-m", "tests.store.claiming", url, name, mode]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.proof
def test_processes_that_claim_at_once_run_each_trial_exactly_once(database):
    with database.write() as session:
        job = factories.searching_job(
            session, waiting=40, budget={"trials": 50, "parallel_trials": 4}
        )
    running = [start(database.url, f"worker-{i}", "drain") for i in range(4)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    delivered = [trial for output in outputs for trial in output.split()]
    assert [process.returncode for process in running] == [0] * 4
    assert len(delivered) == len(set(delivered)) == 40
    with database.read() as session:
        assert jobs.counts(session, [job.id])[job.id].complete == 41
        assert all(trial.num_attempts == 1 for trial in trials.of_job(session, job.id))


@pytest.mark.proof
def test_a_killed_process_is_reaped_once_and_its_trial_goes_to_another(database):
    with database.write() as session:
        factories.searching_job(session)
    process = start(database.url, "doomed", "hold")
    assert process.stdout is not None
    trial_id = process.stdout.readline().strip()
    process.kill()
    process.communicate(timeout=60)
    with database.write() as session:
        assert attempts.reap(session) == 1
    with database.write() as session:
        assert attempts.reap(session) == 0
        assert trials.get(session, trial_id).failures == {"lost_worker": 1}
        other = factories.must_claim(session, "other")
        assert other.trial == trial_id
        assert factories.deliver(session, other).state == TrialState.COMPLETE
