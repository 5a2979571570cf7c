"""Run one worker until it is asked to stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

from workers.settings import WorkerSettings
from workers.stopping import StopFlag
from workers.supervisor import Supervisor


def run(settings: WorkerSettings | None = None) -> None:
    """Work until SIGTERM or SIGINT, then give the trial back. A second signal ends at once.

    Raises FeatherweightError if the service refuses this worker.
    """
    log_to_stderr()
    stop = StopFlag()
    supervisor = Supervisor(settings or WorkerSettings(), stop=stop)

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop():
            supervisor.kill()
            os._exit(128 + number)
        stop.set("the worker is stopping")

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    supervisor.run()


def log_to_stderr() -> None:
    """Log one line per message to stderr."""
    form = "%(asctime)s %(process)d %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
