"""Several workers on this machine: one supervisor process each, sharing cores and cache."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from featherweight.system.process_group import ProcessGroup, Role
from workers import main
from workers.settings import WorkerSettings
from workers.stopping import StopFlag


def run(settings: WorkerSettings | None = None, *, workers: int) -> None:
    """Run ``workers`` workers until SIGTERM or SIGINT. A worker that dies is started again."""
    main.log_to_stderr()
    group = ProcessGroup(roles(settings or WorkerSettings(), workers=workers))
    stop = StopFlag()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set("the fleet is stopping")

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    group.start()
    while not stop.wait(60.0):
        pass
    group.stop()


def roles(settings: WorkerSettings, *, workers: int) -> list[Role]:
    """Return one role per worker, with its own name and its share of the cores."""
    threads = settings.worker_threads or max(1, (os.cpu_count() or 1) // workers)
    return [role(settings, index=index, threads=threads) for index in range(workers)]


def role(settings: WorkerSettings, *, index: int, threads: int) -> Role:
    """Return the role of one supervisor process, whose secret is in its environment."""
    name = f"{settings.worker_name}-{index}"
    environment = {
        "FEATHERWEIGHT_URL": settings.url,
        "FEATHERWEIGHT_WORKER_FOLDER": str(settings.worker_folder),
        "FEATHERWEIGHT_WORKER_NAME": name,
        "FEATHERWEIGHT_WORKER_THREADS": str(threads),
        "FEATHERWEIGHT_WORKER_CACHE_BYTES": str(settings.worker_cache_bytes),
        "FEATHERWEIGHT_CLAIM_WAIT_SECONDS": str(settings.claim_wait_seconds),
        "FEATHERWEIGHT_STOP_GRACE_SECONDS": str(settings.stop_grace_seconds),
    }
    if settings.secret:
        environment["FEATHERWEIGHT_TOKEN"] = settings.secret
    return Role(
        name=f"worker-{index}",
        command=[sys.executable, "-m", "launch.main", "worker"],
        environment=environment,
        stop_seconds=3 * settings.stop_grace_seconds,
    )
