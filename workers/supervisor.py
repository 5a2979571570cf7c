"""The process that represents a worker: it claims, sends heartbeats, and watches the trainer.

It never imports torch, so that no long operation can delay a heartbeat.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from compress.values.errors import Stopped
from featherweight import __version__
from featherweight.client.transport import FOREVER
from featherweight.client.worker_client import Lease, WorkerClient, lease_of
from featherweight.errors import (
    ApiError,
    FeatherweightError,
    Forbidden,
    ServiceUnavailable,
    Unauthorised,
)
from featherweight.specs.protocol import Assignment, Failure, Heartbeat, WorkerInfo
from featherweight.specs.states import FailureClass
from featherweight.system.pulse import Pulse
from workers import exits, spool
from workers.connection import RetryingConnection, is_answer, is_lost
from workers.files import disk
from workers.messages import Ended, Ready, Run, Stop, TrialProgress
from workers.settings import WorkerSettings
from workers.spool import RELEASE, AttemptSpool, Spool, Verdict
from workers.stopping import StopFlag
from workers.trainer_process import TrainerEnded, TrainerProcess

_LOOK_SECONDS = 0.2
_BEATS_PER_LEASE = 3
_RESTARTED = Verdict(
    kind="fail",
    failure=Failure(failure_class=FailureClass.LOST_WORKER, message="the worker was restarted"),
)
_log = logging.getLogger(__name__)


class Supervisor:
    """One worker. ``run`` returns when ``stop`` is set and the current trial is given back."""

    def __init__(self, settings: WorkerSettings, *, stop: StopFlag) -> None:
        self._settings = settings
        self._stop = stop
        self._client = WorkerClient(settings.url, settings.secret)
        self._pulse = Pulse.named()
        self._connection = RetryingConnection(stop, meanwhile=self._pulse.beat)
        self._boot_id = uuid4().hex
        self._trainer: TrainerProcess | None = None
        self._info: Ready | None = None
        self._deaths = 0
        self._trouble: str | None = None
        self._troubles = 0

    def run(self) -> None:
        """Work until asked to stop. Raises FeatherweightError if the service refuses us."""
        self._settings.own_folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._spool = Spool(self._settings.own_folder / "outbox")
            try:
                self._settle_leftovers(verdict=_RESTARTED)
                while not self._stop():
                    self._turn()
            except Stopped:
                _log.info("stopped while the service was away; what is left is in the spool")
            finally:
                self._close()

    def kill(self) -> None:
        """Kill the trainer at once, because the supervisor is about to exit."""
        if self._trainer is not None:
            self._trainer.kill()

    def _turn(self) -> None:
        self._pulse.beat()
        self._settle_leftovers(verdict=RELEASE)
        self._wait_for_disk()
        info = self._ready()
        if info is None:
            return
        wait_seconds = self._settings.claim_wait_seconds
        assignment = self._connection.call(
            lambda: self._client.claim(info, wait_seconds=wait_seconds)
        )
        if assignment is not None:
            self._attend(assignment)

    def _settle_leftovers(self, *, verdict: Verdict) -> None:
        for spooled in self._spool.leftovers():
            _log.info("settling trial %d, left by an earlier process", spooled.attempt.number)
            self._settle(spooled, verdict=verdict)

    def _wait_for_disk(self) -> None:
        """Wait until this machine can write again; until then trials would only come back."""
        if self._trouble is None:
            self._troubles = 0
            return
        self._troubles += 1
        _log.error("no more trials until this machine's disk works: %s", self._trouble)
        while not self._stop.wait(disk.WAIT.pause(self._troubles) or 0.0):
            self._pulse.beat()
            self._trouble = disk.unwritable(self._settings.own_folder)
            if self._trouble is None:
                _log.info("this machine's disk works again")
                return

    def _ready(self) -> WorkerInfo | None:
        """Return the info of a working trainer, started if need be, or None if there is none."""
        if self._trainer is None or not self._trainer.is_alive:
            self._start()
        trainer = self._trainer
        if trainer is None or self._info is None:
            return None
        return WorkerInfo(
            name=self._settings.worker_name,
            boot_id=self._boot_id,
            device=self._info.device,
            threads=self._info.threads,
            version=__version__,
        )

    def _start(self) -> None:
        if self._trainer is not None:
            self._trainer.close()
            self._trainer = None
        if self._deaths and self._stop.wait(FOREVER.pause(self._deaths) or 0.0):
            return
        self._trainer = TrainerProcess(self._settings)
        try:
            self._info = self._trainer.ready(self._stop)
        except TrainerEnded as ended:
            self._deaths += 1
            self._info = None
            _log.error("the training process does not start: status %d", ended.status)

    def _attend(self, assignment: Assignment) -> None:
        assert self._trainer is not None
        try:
            spooled = self._spool.open(assignment)
        except OSError as error:
            self._trouble = str(error)
            self._connection.call(lambda: self._client.release(lease_of(assignment)))
            return
        _log.info("trial %d of job %s: %s", assignment.number, assignment.job, _words(assignment))
        watch = _Watch(
            trainer=self._trainer, assignment=assignment, stop=self._stop, pulse=self._pulse
        )
        watch.grace_seconds = self._settings.stop_grace_seconds
        try:
            watch.attend(client=self._client, connection=self._connection)
            self._deaths, self._trouble = 0, watch.trouble
        except TrainerEnded as ended:
            self._after_death(ended, spooled=spooled, watch=watch)

    def _after_death(self, ended: TrainerEnded, *, spooled: AttemptSpool, watch: _Watch) -> None:
        self._deaths += 1
        failure = exits.failure(ended.status, oom_kills_before=watch.trainer.oom_kills_before)
        self._trouble = disk.unwritable(self._settings.own_folder)
        if watch.order is None and self._trouble is not None:
            _log.error("trial %d goes back: %s", spooled.attempt.number, failure.message)
            self._settle(spooled, verdict=RELEASE)
        elif watch.order is None:
            _log.error("trial %d: %s", spooled.attempt.number, failure.message)
            self._settle(spooled, verdict=Verdict(kind="fail", failure=failure))
        elif watch.order.is_ours:
            self._settle(spooled, verdict=RELEASE)
        else:
            spooled.close()

    def _settle(self, spooled: AttemptSpool, *, verdict: Verdict) -> None:
        connection = RetryingConnection(
            self._stop, meanwhile=lambda: self._stay_alive(spooled.attempt.lease)
        )
        try:
            spool.settle(spooled, client=self._client, connection=connection, verdict=verdict)
        except (Unauthorised, Forbidden):
            raise
        except ApiError as error:
            _log.error("trial %d could not be settled: %s", spooled.attempt.number, error)

    def _stay_alive(self, lease: Lease) -> None:
        """Extend the lease of an undelivered attempt. Raises StaleAttempt, AttemptNotFound."""
        try:
            self._client.heartbeat(lease, Heartbeat(stage="deliver"))
        except ServiceUnavailable:
            return
        except ApiError as error:
            if is_lost(error):
                raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        path = self._settings.own_folder / "lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise FeatherweightError(
                f"another worker named {self._settings.worker_name!r} runs on "
                f"{self._settings.worker_folder}: give this one another --name"
            ) from error
        finally:
            os.close(lock)

    def _close(self) -> None:
        if self._trainer is not None:
            self._trainer.close()
        self._client.close()


@dataclass(kw_only=True)
class _Watch:
    """One attempt of the trainer, from the command to run it until its end."""

    trainer: TrainerProcess
    assignment: Assignment
    stop: StopFlag
    pulse: Pulse
    grace_seconds: float = 10.0
    order: Stop | None = None
    ordered_at: float = 0.0
    beat: Heartbeat = field(default_factory=Heartbeat)
    trouble: str | None = None

    def attend(self, *, client: WorkerClient, connection: RetryingConnection) -> None:
        """Send heartbeats until the trainer says that the attempt is over. Raises TrainerEnded.

        The claim was the first sign of life, so a short trial needs no other.
        """
        self.trainer.send(Run(assignment=self.assignment))
        pause = self.assignment.lease_seconds / _BEATS_PER_LEASE
        next_beat = time.monotonic() + pause
        while not self._listen():
            self.pulse.beat()
            if time.monotonic() >= next_beat:
                self._heartbeat(client, connection)
                next_beat = time.monotonic() + pause
            if self.stop():
                self._order(str(self.stop.reason))
            self._insist()

    def _listen(self) -> bool:
        message = self.trainer.receive(_LOOK_SECONDS)
        while message is not None:
            match message:
                case Ended(attempt=attempt, trouble=trouble) if attempt == self.assignment.attempt:
                    self.trouble = trouble
                    return True
                case TrialProgress(stage=stage, done=done):
                    self.beat = Heartbeat(stage=stage, done=done)
                case _:
                    pass
            message = self.trainer.receive(0)
        return False

    def _heartbeat(self, client: WorkerClient, connection: RetryingConnection) -> None:
        lease = lease_of(self.assignment)
        try:
            reply = connection.once(lambda: client.heartbeat(lease, self.beat))
            if reply.stop is not None:
                self._order(reply.stop)
        except ServiceUnavailable:
            return  # logged once by the connection; the attempt may still be ours afterwards
        except ApiError as error:
            if is_lost(error):
                self._order("the lease was lost", is_ours=False)
            elif is_answer(error):
                _log.error("heartbeat refused: %s", error)

    def _order(self, reason: str, *, is_ours: bool = True) -> None:
        if self.order is not None:
            return
        _log.info("stopping trial %d: %s", self.assignment.number, reason)
        self.order = Stop(attempt=self.assignment.attempt, reason=reason, is_ours=is_ours)
        self.ordered_at = time.monotonic()
        self.trainer.send(self.order)

    def _insist(self) -> None:
        if self.order is None:
            return
        waited = time.monotonic() - self.ordered_at
        if waited > 2 * self.grace_seconds:
            self.trainer.kill()
        elif waited > self.grace_seconds:
            self.trainer.terminate()


def _words(assignment: Assignment) -> str:
    return assignment.candidate.describe()
