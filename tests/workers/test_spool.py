"""What a worker has to say is on disk first, and is said exactly once, whatever is killed when."""

import contextlib
import itertools
import json
import signal
import subprocess
import sys

import pytest

from compress.values.errors import Stopped
from featherweight.client.worker_client import WorkerClient, file_ref, lease_of
from featherweight.errors import NotFound
from featherweight.specs.protocol import Failure, Report
from featherweight.specs.states import AttemptState, FailureClass, TrialState
from store.attempts import attempts
from store.trials import rungs, trials
from tests import factories
from tests.running import environment, free_port
from workers.connection import RetryingConnection
from workers.spool import COMPLETE, RELEASE, Spool, Verdict, settle
from workers.stopping import StopFlag

FAILED = Verdict(kind="fail", failure=Failure(failure_class=FailureClass.BUG, message="it broke"))


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "outbox")


@pytest.fixture
def connection():
    return RetryingConnection(StopFlag())


def put(spooled, rung, *, content=b"a network"):
    folder = spooled.draft(rung)
    (folder / "model.onnx").write_bytes(content)
    (folder / "manifest.json").write_text("{}")
    refs = (file_ref(folder / "model.onnx", "onnx"), file_ref(folder / "manifest.json", "manifest"))
    measured = factories.measurement(0.8, len(content))
    spooled.put(Report(rung=rung, epochs=rung, measurement=measured, files=refs))


def facts(records, assignment):
    """State of the trial and of its attempts, and the rungs that were recorded."""
    with records.read() as session:
        trial = trials.get(session, assignment.trial)
        states = [attempt.state for attempt in attempts.of_trial(session, assignment.trial)]
        return trial.state, states, len(rungs.of_trial(session, assignment.trial))


def test_a_report_is_delivered_with_its_files(claimed, spool, connection, worker_client, records):
    assignment = claimed()
    spooled = spool.open(assignment)
    put(spooled, 0)
    assert spooled.pending() == [0]
    decision = spooled.deliver(0, client=worker_client, connection=connection)
    assert decision.stop is False
    assert spooled.pending() == []
    assert facts(records, assignment) == (TrialState.RUNNING, [AttemptState.ACTIVE], 1)


def test_pending_reports_go_before_the_verdict_and_may_end_the_trial_themselves(
    claimed, spool, connection, worker_client, records
):
    assignment = claimed()
    spooled = spool.open(assignment)
    put(spooled, 0)
    put(spooled, 1)
    settle(spooled, client=worker_client, connection=connection, verdict=FAILED)
    assert facts(records, assignment) == (TrialState.COMPLETE, [AttemptState.DELIVERED], 2)
    assert not spooled.folder.exists()


def test_a_trial_whose_last_rung_was_answered_is_complete_even_if_its_process_died_then(
    claimed, spool, connection, worker_client, records
):
    assignment = claimed()
    spooled = spool.open(assignment)
    for rung in (0, 1):
        put(spooled, rung)
        spooled.deliver(rung, client=worker_client, connection=connection)
    (left,) = spool.leftovers()
    settle(left, client=worker_client, connection=connection, verdict=FAILED)
    assert facts(records, assignment)[0] == TrialState.COMPLETE


def test_a_trial_without_a_verdict_gets_the_other_one(
    claimed, spool, connection, worker_client, records
):
    assignment = claimed()
    settle(spool.open(assignment), client=worker_client, connection=connection, verdict=RELEASE)
    assert facts(records, assignment) == (TrialState.WAITING, [AttemptState.RELEASED], 0)


def test_a_failure_is_told_with_its_class(claimed, spool, connection, worker_client, records):
    assignment = claimed()
    settle(spool.open(assignment), client=worker_client, connection=connection, verdict=FAILED)
    with records.read() as session:
        trial = trials.get(session, assignment.trial)
    assert (trial.state, trial.failure_class) == (TrialState.FAILED, FailureClass.BUG)


def test_an_attempt_of_somebody_else_is_dropped_with_a_line_in_the_log(
    claimed, spool, connection, worker_client, records, caplog
):
    assignment = claimed()
    spooled = spool.open(assignment)
    put(spooled, 0)
    worker_client.release(lease_of(assignment))
    settle(spooled, client=worker_client, connection=connection, verdict=COMPLETE)
    assert f"trial {assignment.number} belongs to somebody else, dropped" in caplog.text
    assert list(spool.leftovers()) == []
    assert facts(records, assignment) == (TrialState.WAITING, [AttemptState.RELEASED], 0)


def test_a_report_that_the_service_refuses_fails_the_trial_instead_of_coming_back_for_ever(
    claimed, spool, connection, worker_client, records
):
    assignment = claimed()
    spooled = spool.open(assignment)
    put(spooled, 5)
    settle(spooled, client=worker_client, connection=connection, verdict=COMPLETE)
    with records.read() as session:
        trial = trials.get(session, assignment.trial)
    assert (trial.state, trial.failure_class) == (TrialState.FAILED, FailureClass.BUG)
    assert "the service refused" in trial.reason


def test_a_spooled_attempt_stays_when_the_worker_stops_in_an_outage(
    claimed, spool, worker_client, records
):
    assignment = claimed()
    put(spool.open(assignment), 0)
    stop = StopFlag()
    stop.set("the worker is stopping")
    nobody = WorkerClient(f"http://127.0.0.1:{free_port()}")
    (spooled,) = spool.leftovers()
    with pytest.raises(Stopped):
        settle(spooled, client=nobody, connection=RetryingConnection(stop), verdict=RELEASE)
    nobody.close()
    (spooled,) = spool.leftovers()
    settle(spooled, client=worker_client, connection=RetryingConnection(stop), verdict=RELEASE)
    assert facts(records, assignment) == (TrialState.WAITING, [AttemptState.RELEASED], 1)


KILLED = """
import os, signal, sys
from pathlib import Path
from featherweight.specs.protocol import Assignment
from featherweight.client.worker_client import WorkerClient
from tests.workers.test_spool import put
from workers.spool import Spool

url, folder, moment = sys.argv[1:4]
assignment = Assignment.model_validate_json(sys.stdin.read())
spooled = Spool(Path(folder)).open(assignment)
if moment == "while writing":
    (spooled.draft(0) / "model.onnx").write_bytes(b"half")
else:
    put(spooled, 0)
    if moment == "after sending":
        client = WorkerClient(url)
        # The answer is lost with the process: the report is still in the spool.
        from functools import partial
        from featherweight.specs.protocol import Report
        report = Report.model_validate_json((spooled.folder / "rung-000/report.json").read_bytes())
        for ref in report.files:
            name = {"onnx": "model.onnx", "manifest": "manifest.json"}[ref.role]
            path = spooled.folder / "rung-000" / name
            client.upload(spooled.attempt.lease, path, sha256=ref.sha256)
        client.report(spooled.attempt.lease, report)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.proof
@pytest.mark.parametrize(
    ("moment", "recorded"),
    [("while writing", 0), ("between writing and sending", 1), ("after sending", 1)],
)
def test_a_kill_loses_no_report_that_was_written_and_sends_none_twice(
    claimed, spool, tmp_path, house, connection, worker_client, records, moment, recorded
):
    assignment = claimed()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, house.url, str(tmp_path / "outbox"), moment],
        input=assignment.model_dump_json(),
        env=environment(),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (spooled,) = spool.leftovers()
    settle(spooled, client=worker_client, connection=connection, verdict=RELEASE)
    assert facts(records, assignment) == (
        TrialState.WAITING,
        [AttemptState.RELEASED],
        recorded,
    )
    assert list(spool.leftovers()) == []


class Killed(BaseException):
    """Ends what runs between two of its steps, as a kill does: nobody catches it."""


class Kill:
    """An audit hook that ends this thread's work at its ``after``-th access to files."""

    EVENTS = frozenset({"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"})

    def __init__(self):
        self.left = None
        sys.addaudithook(self)

    def __call__(self, event, _):
        if self.left is None or event not in self.EVENTS:
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            raise Killed

    @contextlib.contextmanager
    def after(self, number):
        self.left = number
        try:
            yield
        finally:
            self.left = None


@pytest.fixture(scope="module")
def kill():
    """Hooks stay until the process ends, so there is one of them."""
    return Kill()


def killed_while_settling(kill, number, spooled, **ways):
    try:
        with kill.after(number):
            settle(spooled, verdict=FAILED, **ways)
    except Killed:
        return True
    return False


@pytest.mark.proof
def test_a_worker_killed_at_any_access_to_its_files_starts_again_and_ends_the_trial(
    claimed, spool, tmp_path, connection, worker_client, records, kill
):
    ways = {"client": worker_client, "connection": connection}
    number = 0
    for number in itertools.count():
        assignment = claimed()
        spooled = spool.open(assignment)
        put(spooled, 0)
        put(spooled, 1)
        was_killed = killed_while_settling(kill, number, spooled, **ways)
        for left in spool.leftovers():
            settle(left, verdict=FAILED, **ways)
        assert facts(records, assignment) == (TrialState.COMPLETE, [AttemptState.DELIVERED], 2)
        assert list((tmp_path / "outbox").iterdir()) == []
        if not was_killed:
            break
    assert number > 20


def test_a_spool_folder_without_its_attempt_is_swept_away(spool, tmp_path):
    (tmp_path / "outbox" / "half").mkdir()
    assert list(spool.leftovers()) == []
    assert list((tmp_path / "outbox").iterdir()) == []


def test_the_secret_of_an_attempt_is_readable_by_its_owner_only(claimed, spool):
    spooled = spool.open(claimed())
    assert (spooled.folder / "label.json").stat().st_mode & 0o077 == 0
    assert json.loads((spooled.folder / "label.json").read_text())["lease"]["token"]


def test_an_attempt_that_does_not_exist_is_not_found(claimed, worker_client):
    lease = lease_of(claimed()).model_copy(update={"attempt": "none"})
    with pytest.raises(NotFound, match="AttemptNotFound"):
        worker_client.complete(lease)
