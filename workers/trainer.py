"""The process that imports torch once and runs trials, one after the other.

    python -m workers.trainer PIPE

It ends when its supervisor does: by the kernel's signal, and by the end of the pipe.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection

import torch

from compress.values.errors import Stopped
from featherweight.client.worker_client import WorkerClient
from featherweight.errors import ApiError
from featherweight.specs.protocol import Assignment
from featherweight.specs.states import FailureClass
from featherweight.system import lifeline
from workers import main, messages, spool
from workers.connection import RetryingConnection, is_lost
from workers.files import disk
from workers.files.cache import Cache
from workers.files.fetching import Fetcher
from workers.messages import Ended, Ready, Run, Stop, TrialProgress
from workers.resources import TrialResources
from workers.settings import WorkerSettings
from workers.spool import RELEASE, AttemptSpool, Spool, Verdict
from workers.stopping import StopFlag
from workers.trial_runner import TrialRunner
from workers.work import failures

_log = logging.getLogger(__name__)


class Commands:
    """Commands of the supervisor, read by a thread so that they arrive during a trial."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._runs: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._attempt: str | None = None
        self._stop = StopFlag()
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def next(self) -> tuple[Assignment, StopFlag]:
        """Wait for a trial. The flag is set if the supervisor wants the trial dropped."""
        assignment = self._runs.get()
        with self._lock:
            return assignment, self._stop

    def _listen(self) -> None:
        # The pipe ends with the supervisor: then nobody extends the lease any more.
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._heard(messages.receive(self._pipe))
        os._exit(1)

    def _heard(self, message: messages.Message) -> None:
        match message:
            case Run(assignment=assignment):
                with self._lock:
                    self._attempt, self._stop = assignment.attempt, StopFlag()
                self._runs.put(assignment)
            case Stop(attempt=attempt, reason=reason, is_ours=is_ours):
                if attempt == self._attempt:
                    self._stop.set(reason, is_ours=is_ours)
            case _:
                pass


class Trainer:
    """Runs assignments, one after the other."""

    def __init__(self, pipe: Connection, settings: WorkerSettings) -> None:
        self._pipe = pipe
        self._folder = settings.own_folder
        self._spool = Spool(self._folder / "outbox")
        self._trouble: str | None = None
        self._client = WorkerClient(settings.url, settings.secret)
        limit_bytes = settings.worker_cache_bytes
        self._fetcher = Fetcher(self._client, RetryingConnection(StopFlag()))
        cache = Cache(settings.cache_folder, fetch=self._fetcher, limit_bytes=limit_bytes)
        self._resources = TrialResources(cache, logits_folder=settings.worker_folder / "logits")
        messages.send(
            pipe, Ready(device=str(self._resources.device), threads=torch.get_num_threads())
        )

    def work(self, assignment: Assignment, stop: StopFlag) -> bool:
        """Run one trial to its end. Returns whether this process can run another."""
        spooled, connection = self._spool.opened(assignment), RetryingConnection(stop)
        self._fetcher.connection, self._trouble = connection, None
        runner = TrialRunner(
            assignment=assignment,
            resources=self._resources,
            spooled=spooled,
            client=self._client,
            connection=connection,
            stop=stop,
            tell=self._tell,
        )
        verdict = self._ran(runner)
        if stop.is_ours:
            self._settle(spooled, connection, verdict=verdict)
        else:
            spooled.close()
        messages.send(self._pipe, Ended(attempt=assignment.attempt, trouble=self._trouble))
        failure = verdict.failure
        return failure is None or failure.failure_class is not FailureClass.OUT_OF_MEMORY

    def _ran(self, runner: TrialRunner) -> Verdict:
        number = runner.assignment.number
        try:
            runner.run()
        except Stopped as error:
            _log.info("trial %d dropped: %s", number, error)
            return RELEASE
        except ApiError as error:
            if is_lost(error):
                return RELEASE
            return self._failed(number, error)
        except Exception as error:  # noqa: BLE001 (the outermost loop: a bad candidate must not end the worker)
            return self._failed(number, error)
        return spool.COMPLETE

    def _failed(self, number: int, error: Exception) -> Verdict:
        self._trouble = disk.trouble(error) or disk.unwritable(self._folder)
        if self._trouble is not None:
            _log.error("trial %d goes back, this machine's disk fails: %s", number, self._trouble)
            return RELEASE
        failure = failures.of(error)
        _log.error("trial %d failed, %s: %s", number, failure.failure_class, failure.message)
        return Verdict(kind="fail", failure=failure)

    def _settle(
        self, spooled: AttemptSpool, connection: RetryingConnection, *, verdict: Verdict
    ) -> None:
        try:
            spool.settle(spooled, client=self._client, connection=connection, verdict=verdict)
        except Stopped:
            _log.info("the service is away: trial %d stays in the spool", spooled.attempt.number)
        except ApiError as error:
            _log.error("trial %d could not be settled: %s", spooled.attempt.number, error)

    def _tell(self, stage: str, done: float) -> None:
        messages.send(self._pipe, TrialProgress(stage=stage[:60], done=done))


def run(pipe: Connection) -> None:
    """Work until the supervisor is gone, or until memory ran out: then a new process starts."""
    settings = WorkerSettings()
    if settings.worker_threads is not None:
        torch.set_num_threads(settings.worker_threads)
    commands, trainer = Commands(pipe), Trainer(pipe, settings)
    while trainer.work(*commands.next()):
        pass


if __name__ == "__main__":
    # Ctrl-C reaches every process of a terminal; the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lifeline.die_with_named_parent()
    main.log_to_stderr()
    run(Connection(int(sys.argv[1])))
