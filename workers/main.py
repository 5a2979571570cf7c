"""Run one worker, or one meter, until it is asked to stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from workers.settings import WorkerSettings
from workers.stopping import StopFlag
from workers.supervisor import Supervisor
from workers.work.metering.meter import FileMeter


def run(settings: WorkerSettings | None = None) -> None:
    """Work until SIGTERM or SIGINT, then give the trial back. A second signal ends at once.

    Raises FeatherweightError if the service refuses this worker.
    """
    log_to_stderr()
    stop = StopFlag()
    supervisor = Supervisor(settings or WorkerSettings(), stop=stop)
    _heed_signals(stop, "the worker is stopping", at_once=supervisor.kill)
    supervisor.run()


def measure_only(settings: WorkerSettings | None = None) -> None:
    """Measure files of others until SIGTERM or SIGINT, then give the file back; train nothing.

    A second signal ends at once. Raises FeatherweightError if this device has no runtime, or if the
    service refuses it.
    """
    log_to_stderr()
    stop = StopFlag()
    _heed_signals(stop, "the meter is stopping")
    FileMeter(settings or WorkerSettings(), stop=stop).run()


def _heed_signals(
    stop: StopFlag, reason: str, *, at_once: Callable[[], object] = lambda: None
) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop():
            at_once()
            os._exit(128 + number)
        stop.set(reason)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def log_to_stderr() -> None:
    """Log one line per message to stderr."""
    form = "%(asctime)s %(process)d %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
