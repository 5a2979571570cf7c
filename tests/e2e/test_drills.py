"""Faults of the house, with the real processes: no trial pays, and the job goes on afterwards."""

import os
import signal
import time
from pathlib import Path

import pytest

from featherweight import samples
from featherweight.client.client import Client
from featherweight.errors import Conflict
from featherweight.specs.job import JobSpec
from featherweight.specs.states import JobState, TrialState
from tests.disks import small_disk
from tests.e2e.conftest import TINY
from tests.running import PATIENT, running, until

pytestmark = pytest.mark.proof
LEASE = 3.0


class Drill:
    """A house on which one thing is broken, its client, and a job's spec."""

    def __init__(self, house, client, data):
        self.house, self.client = house, client
        self.spec = JobSpec.model_validate(TINY | {"data": data})

    def endless(self):
        model = self.spec.model.model_copy(update={"epochs": 1000})
        return self.client.submit(self.spec.model_copy(update={"model": model})).id

    def running_trial(self, job):
        found = (t for t in self.client.trials(job) if t.state == TrialState.RUNNING)
        return next(found, None)

    def ends_well(self, job):
        until(lambda: self.client.job(job).state.is_finished, seconds=120)
        found = self.client.job(job)
        assert (found.state, found.trials.failed) == (JobState.SUCCEEDED, 0), found.stop_detail
        return found

    def stored(self, sha256):
        return Path(self.house.folder) / "files" / "sha256" / sha256[:2] / sha256


@pytest.fixture
def disks(tmp_path):
    """Small disks for the service's files and for the worker's own folder."""
    with (
        small_disk(tmp_path / "files", mebibytes=16) as files,
        small_disk(tmp_path / "worker", mebibytes=16) as worker,
    ):
        yield files, worker


@pytest.fixture
def drill(tmp_path):
    settings = {"FEATHERWEIGHT_LEASE_SECONDS": str(LEASE), "FEATHERWEIGHT_MIN_FREE_BYTES": "0"}
    with running(tmp_path) as house, Client(house.url, retry=PATIENT) as client:
        house.migrate()
        house.start("search")
        house.start("serve", **settings)
        house.wait_until_ready()
        samples.write("digits", tmp_path / "digits.npz")
        data = client.upload_dataset(tmp_path / "digits.npz", name="digits").name
        yield Drill(house, client, data)


def test_the_services_full_disk_costs_no_trial(disks, drill):
    files, _ = disks
    files.fill()
    drill.house.start("worker")
    job = drill.client.submit(drill.spec).id
    until(lambda: "StorageFull" in drill.house.log("worker"))
    time.sleep(LEASE + 1)
    found = drill.client.job(job)
    assert (found.state, found.trials.running, found.trials.failed) == (JobState.RUNNING, 1, 0)
    assert drill.house.log("worker").count("StorageFull") == 1
    files.make_room()
    drill.ends_well(job)
    assert next(trial.attempts for trial in drill.client.trials(job)) == 1


def test_the_workers_full_disk_costs_no_trial(disks, drill):
    _, own = disks
    drill.house.start("worker")
    until(lambda: list(drill.client.workers()))
    own.fill()
    job = drill.client.submit(drill.spec).id
    until(lambda: "no more trials until this machine's disk works" in drill.house.log("worker"))
    found = drill.client.job(job)
    assert (found.state, found.trials.failed) == (JobState.RUNNING, 0)
    own.make_room()
    drill.ends_well(job)
    assert "works again" in drill.house.log("worker")


def test_a_corrupt_dataset_pauses_the_job_until_it_is_restored(drill):
    sha256 = next(iter(drill.client.datasets())).sha256
    path = drill.stored(sha256)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    job = drill.client.submit(drill.spec).id
    drill.house.start("worker")
    until(lambda: drill.client.job(job).state == JobState.PAUSED)
    found = drill.client.job(job)
    assert found.pause_reason == "file_lost"
    assert sha256 in found.stop_detail
    with pytest.raises(Conflict, match="FileStillLost"):
        drill.client.resume(job)
    path.write_bytes(content)
    drill.client.resume(job)
    drill.ends_well(job)


def test_a_house_that_was_frozen_for_longer_than_a_lease_takes_no_trial_away(drill):
    drill.house.start("worker")
    job = drill.endless()
    trial = until(lambda: drill.running_trial(job))
    frozen = [drill.house.processes[name].pid for name in ("search", "serve")]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2 * LEASE)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    time.sleep(LEASE + 1)
    found = drill.client.trial(trial.id)
    assert (found.state, found.attempts) == (TrialState.RUNNING, 1)
    drill.client.cancel(job)
    until(lambda: drill.client.job(job).state == JobState.CANCELLED)


def test_a_frozen_worker_loses_its_trial_and_takes_no_harm(drill):
    drill.house.start("worker")
    job = drill.endless()
    trial = until(lambda: drill.running_trial(job))
    pid = drill.house.processes["worker"].pid
    os.kill(pid, signal.SIGSTOP)
    until(lambda: drill.client.trial(trial.id).state == TrialState.WAITING)
    os.kill(pid, signal.SIGCONT)
    until(lambda: drill.client.trial(trial.id).attempts == 2)
    assert drill.client.job(job).trials.failed == 0
    drill.client.cancel(job)
    until(lambda: drill.client.job(job).state == JobState.CANCELLED)
