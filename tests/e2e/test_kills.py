"""Kill -9 of the worker's two processes and of the service, and stops of every kind."""

import signal

import psutil
import pytest

from featherweight.specs.states import JobState, Phase, TrialState
from tests.running import until

pytestmark = pytest.mark.proof


@pytest.fixture(autouse=True)
def worker(house):
    house.start("worker")
    yield
    if "worker" in house.processes:
        assert house.kill("worker", signal.SIGTERM) == 0


@pytest.fixture
def training(house, client, endless):
    """The baseline trial of a job, in its training; the job is cancelled at the end."""
    job = client.submit(endless)

    def begun():
        trial = until(lambda: running_trial(client, job.id))
        # The service knows of a claim before the worker has written it down.
        until(lambda: f"of job {job.id}" in house.log("worker"))
        return trial

    yield begun
    client.cancel(job.id)
    until(lambda: client.job(job.id).state == JobState.CANCELLED)


def running_trial(client, job):
    return next((t for t in client.trials(job) if t.state == TrialState.RUNNING), None)


def child_of_worker(house):
    (child,) = until(lambda: house.children("worker"))
    return child


def attempts_of(client, trial):
    return [attempt.state for attempt in client.why(trial.id).attempts]


def test_a_killed_training_process_is_replaced_and_its_trial_tried_again(house, client, training):
    trial = training()
    first = child_of_worker(house)
    first.kill()
    until(lambda: client.trial(trial.id).attempts == 2)
    assert child_of_worker(house).pid != first.pid
    assert attempts_of(client, trial)[1] == "active"
    assert "SIGKILL" in client.why(trial.id).attempts[0].detail


def test_a_killed_worker_takes_its_training_process_along_and_its_trial_comes_back(
    house, client, training
):
    trial = training()
    child = child_of_worker(house)
    house.kill("worker")
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()
    house.start("worker")
    until(lambda: client.trial(trial.id).attempts == 2)
    assert "left by an earlier process" in house.log("worker")
    assert client.trial(trial.id).state == TrialState.RUNNING


def test_a_worker_that_is_asked_to_stop_gives_its_trial_back(house, client, training):
    trial = training()
    assert house.kill("worker", signal.SIGTERM) == 0
    found = client.trial(trial.id)
    assert (found.state, found.failure_class) == (TrialState.WAITING, None)
    assert attempts_of(client, trial) == ["released"]


def test_a_second_signal_ends_a_worker_at_once(house, client, training):
    training()
    child = child_of_worker(house)
    child.suspend()  # it cannot listen: a polite stop would take long
    process = house.processes["worker"]
    process.send_signal(signal.SIGINT)
    until(lambda: "stopping trial" in house.log("worker").splitlines()[-1])
    assert house.kill("worker", signal.SIGINT) == 130
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()


def test_a_cancelled_job_stops_its_trial_and_frees_the_worker(house, client, endless, spec):
    job = client.submit(endless)
    trial = until(lambda: running_trial(client, job.id))
    client.cancel(job.id)
    until(lambda: client.job(job.id).state == JobState.CANCELLED)
    found = client.trial(trial.id)
    assert (found.state, "cancelled" in found.reason) == (TrialState.STOPPED, True)
    next_job = client.submit(spec.model_copy(update={"seed": 5}))
    until(lambda: running_trial(client, next_job.id))
    client.cancel(next_job.id)
    until(lambda: client.job(next_job.id).state == JobState.CANCELLED)


def test_a_job_ends_exactly_although_every_process_is_killed_on_its_way(house, client, spec):
    job = client.submit(spec.model_copy(update={"seed": 9}))
    events = client.watch(job.id)
    for victim, commands in (("serve", ()), ("search", ()), ("worker", ())):
        next(event for event in events if event.type == "trial.running")
        house.kill(victim)
        house.start(victim, *commands)
    assert list(events)[-1].type == "job.succeeded"
    found = client.job(job.id)
    trials = list(client.trials(job.id))
    assert (found.trials.total, found.trials.failed) == (len(trials), 0)
    assert [trial.number for trial in trials if trial.phase != Phase.TEST] == [0, 1, 2, 3]
    assert [trial.number for trial in trials if trial.phase == Phase.TEST] in ([], [4])


def test_a_fleet_runs_workers_with_names_of_their_own(house, client):
    started = house.start("fleet", "worker", "--count", "2", "--name", "fleet")
    until(lambda: {w.name for w in client.workers()} >= {"fleet-0", "fleet-1"})
    members = psutil.Process(started.pid).children(recursive=True)
    assert house.kill("fleet", signal.SIGTERM) == 0
    _, alive = psutil.wait_procs(members, timeout=10)
    assert alive == []
