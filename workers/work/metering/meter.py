"""The process of a meter: it claims files, measures them one after the other, and reports.

It keeps nothing of its own: whatever ends it, the file that it was measuring waits again.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from compress.values.errors import Stopped
from featherweight import __version__
from featherweight.client.meter_client import MeterClient
from featherweight.client.worker_client import WorkerClient
from featherweight.errors import (
    ApiError,
    FeatherweightError,
    FileLost,
    NotFound,
    ServiceUnavailable,
    StaleAttempt,
)
from featherweight.specs.cluster import MeterInfo, MeterResult, MeterTask, RuntimeVersion
from featherweight.system.pulse import Pulse
from workers.connection import RetryingConnection
from workers.files import disk
from workers.files.cache import Cache
from workers.files.fetching import Fetcher
from workers.settings import WorkerSettings
from workers.stopping import StopFlag
from workers.work.metering import machine, measuring

_BEATS_PER_LEASE = 3
_GONE = (StaleAttempt, NotFound)
"""Answers that mean that the file is no longer ours to measure."""
_log = logging.getLogger(__name__)


class FileMeter:
    """One meter. ``run`` returns when ``stop`` is set and the current file is given back."""

    def __init__(self, settings: WorkerSettings, *, stop: StopFlag) -> None:
        self._settings = settings
        self._stop = stop
        self._pulse = Pulse.named()
        self._connection = RetryingConnection(stop, meanwhile=self._pulse.beat)
        self._client = MeterClient(settings.url, settings.secret)
        self._files = WorkerClient(settings.url, settings.secret)
        self._cache = Cache(
            settings.cache_folder,
            fetch=Fetcher(self._files, self._connection),
            limit_bytes=settings.worker_cache_bytes,
        )
        self._troubles = 0

    def run(self) -> None:
        """Measure until asked to stop.

        Raises FeatherweightError if this device has no runtime, or if the service refuses us.
        """
        info = described(self._settings.worker_name)
        _log.info("measuring as %s: %s", info.name, _words(info.runtimes))
        wait_seconds = self._settings.claim_wait_seconds
        ask = partial(self._client.claim, info, wait_seconds=wait_seconds)
        try:
            while not self._stop():
                self._pulse.beat()
                task = self._connection.call(ask)
                if task is not None:
                    self._attend(task, info)
        except Stopped:
            _log.info("stopped while the service was away")
        finally:
            self._client.close()
            self._files.close()

    def _attend(self, task: MeterTask, info: MeterInfo) -> None:
        _log.info("measuring file %s of job %s", task.sha256[:12], task.job)
        with _Beats(self._settings, task) as beats:
            try:
                result = self._measured(task, info, beats)
                self._connection.call(partial(self._client.report, task, result))
                self._troubles = 0
            except _GONE as error:
                _log.warning("dropped file %s: %s", task.sha256[:12], error)
            except Stopped:
                self._give_back(task, beats)
            except OSError as error:
                self._give_back(task, beats)
                self._wait_for_disk(error)

    def _measured(self, task: MeterTask, info: MeterInfo, beats: _Beats) -> MeterResult:
        try:
            with self._cache.hold(task.sha256) as path:
                return self._measure(path, task, info, beats)
        except FileLost as error:
            return MeterResult(
                detail=machine.line(f"the service lost the file: {error}", most=1000)
            )

    def _measure(self, path: Path, task: MeterTask, info: MeterInfo, beats: _Beats) -> MeterResult:
        def is_wanted() -> bool:
            self._pulse.beat()
            return not (self._stop() or beats.is_lost)

        return measuring.measure(
            path,
            info.runtimes,
            threads=task.threads,
            example=task.example,
            is_wanted=is_wanted,
        )

    def _give_back(self, task: MeterTask, beats: _Beats) -> None:
        if beats.is_lost:
            return
        try:
            self._client.release(task)
        except (ApiError, ServiceUnavailable) as error:
            # Its lease ends by itself, and the file waits again.
            _log.warning("could not give file %s back: %s", task.sha256[:12], error)

    def _wait_for_disk(self, error: OSError) -> None:
        self._troubles += 1
        pause = disk.WAIT.pause(self._troubles) or 0.0
        _log.error("no measurement for %.0f s: %s", pause, error)
        self._stop.wait(pause)


class _Beats:
    """Extends the lease of one measurement from a thread of its own, while the context is open."""

    def __init__(self, settings: WorkerSettings, task: MeterTask) -> None:
        self.is_lost = False
        self._client = MeterClient(settings.url, settings.secret)
        self._task = task
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="beats", daemon=True)

    def __enter__(self) -> _Beats:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()

    def _beat(self) -> None:
        while not self._over.wait(self._task.lease_seconds / _BEATS_PER_LEASE):
            try:
                self._client.heartbeat(self._task)
            except ServiceUnavailable:
                continue  # the connection of the main thread says so
            except _GONE:
                self.is_lost = True
                return
            except ApiError as error:
                _log.error("heartbeat refused: %s", error)


def described(name: str) -> MeterInfo:
    """Return what this device is. Raises FeatherweightError if it has no runtime."""
    runtimes = measuring.installed()
    if not runtimes:
        raise FeatherweightError(
            "a meter needs a runtime that loads on this device: pip install onnxruntime"
        )
    return MeterInfo(
        name=name,
        boot_id=uuid4().hex,
        device=machine.device(),
        cpu=machine.cpu(),
        os=machine.system(),
        version=__version__,
        runtimes=runtimes,
    )


def _words(runtimes: tuple[RuntimeVersion, ...]) -> str:
    return ", ".join(f"{runtime.name} {runtime.version}" for runtime in runtimes)
