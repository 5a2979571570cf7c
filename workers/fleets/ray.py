"""Our ordinary workers as actors of a Ray cluster: Ray places them and restarts them.

Ray is an optional dependency, imported only in this file and only when a fleet starts. Leases still
decide who owns a trial: an actor on a node that the cluster has given up runs on for a while, and
what it then sends is refused because of its stale token.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from featherweight.errors import FeatherweightError
from featherweight.system.process_group import ProcessGroup
from workers import main
from workers.fleets import local
from workers.settings import WorkerSettings
from workers.stopping import StopFlag

_LOOK_SECONDS = 1.0
_CONNECT_SECONDS = 5.0
_PATIENCE_SECONDS = 15.0
_ANSWER_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Share:
    """The resources of its node that one worker takes; with 0.5 GPUs two workers share one."""

    cpus: float = 1.0
    gpus: float = 0.0


def run(
    settings: WorkerSettings | None = None,
    *,
    workers: int,
    address: str = "auto",
    cpus_per_worker: float = 1.0,
    gpus_per_worker: float = 0.0,
) -> None:
    """Run ``workers`` workers on the Ray cluster at ``address`` until SIGTERM or SIGINT.

    The actors are this process's: when it ends, however it ends, they end. Workers for which the
    cluster has no room wait until it has.

    Args:
        settings: Of every worker; its address must be one that all nodes reach, its folder is the
            same path on each of them.
        workers: How many.
        address: ``HOST:PORT``, ``ray://HOST:PORT``, ``auto`` for the cluster that this machine
            belongs to, ``local`` for one of this process alone.
        cpus_per_worker: CPUs that Ray sets aside, and threads of torch unless those are set.
        gpus_per_worker: GPUs that Ray sets aside; with 0 a worker sees none.

    Raises:
        FeatherweightError: Ray is not installed, the cluster cannot be reached, or a worker
            cannot be started on it.
    """
    main.log_to_stderr()
    settings = settings or WorkerSettings()
    share = Share(cpus=cpus_per_worker, gpus=gpus_per_worker)
    with _connected(address) as ray:
        stop = _stop_on_signals()
        fleet = _Fleet(ray, settings, workers=workers, share=share)
        try:
            while not stop.wait(_LOOK_SECONDS):
                fleet.look()
        finally:
            fleet.stop(3 * settings.stop_grace_seconds + _ANSWER_SECONDS)


class RayWorker:
    """The actor: keeps one supervisor process running, which is killed when the actor is."""

    def __init__(self, settings: WorkerSettings, *, index: int, share: Share) -> None:
        threads = settings.worker_threads or max(1, int(share.cpus))
        role = local.role(settings, index=index, threads=threads)
        if share.gpus == 0:
            # Ray lets an actor that asked for no GPU see all of the node.
            role = replace(role, environment={**role.environment, "CUDA_VISIBLE_DEVICES": ""})
        self._group = ProcessGroup([role])
        self._group.start()

    def place(self) -> str:
        """Return the node and process on which it runs."""
        return f"{socket.gethostname()}, process {os.getpid()}"

    def stop(self) -> None:
        """Give the current trial back and end the supervisor."""
        self._group.stop()


class _Fleet:
    def __init__(self, ray: Any, settings: WorkerSettings, *, workers: int, share: Share) -> None:
        self._ray = ray
        actor = ray.remote(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_restarts=-1,
            scheduling_strategy="SPREAD",
        )(RayWorker)
        # An absolute path: an actor starts in a folder of its node's choice.
        settings = settings.model_copy(update={"worker_folder": settings.worker_folder.absolute()})
        self._members = [
            _Member(ray, actor.remote(settings, index=index, share=share), name=f"worker-{index}")
            for index in range(workers)
        ]

    def look(self) -> None:
        """Report the state of each worker. Raises FeatherweightError if one cannot be started."""
        for member in self._members:
            member.look()

    def stop(self, seconds: float) -> None:
        """Ask all workers to stop; end those that do not in time, and those not yet started."""
        asked = [member.actor.stop.remote() for member in self._members if member.place]
        if asked:
            self._ray.wait(asked, num_returns=len(asked), timeout=seconds)
        for member in self._members:
            self._ray.kill(member.actor)


class _Member:
    """One actor, and its pending answer to the question where it runs."""

    def __init__(self, ray: Any, actor: Any, *, name: str) -> None:
        self.actor = actor
        self.place: str | None = None
        self._ray = ray
        self._name = name
        self._ask()

    def look(self) -> None:
        if not self._ray.wait([self._answer], timeout=0)[0]:
            self._complain()
            return
        try:
            self._note(self._ray.get(self._answer))
        except self._ray.exceptions.ActorUnavailableError:
            _log.warning("%s was lost, Ray starts it again", self._name)
        except self._ray.exceptions.RayError as error:
            raise FeatherweightError(f"{self._name} cannot run on the cluster: {error}") from error
        self._ask()

    def _ask(self) -> None:
        self._answer = self.actor.place.remote()
        self._complain_at = time.monotonic() + _PATIENCE_SECONDS

    def _note(self, place: str) -> None:
        if place != self.place:
            _log.info("%s runs on %s", self._name, place)
        self.place = place

    def _complain(self) -> None:
        if time.monotonic() > self._complain_at:
            _log.warning("%s waits for a node with room for it", self._name)
            self._complain_at = float("inf")


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    ray = _load()
    _check_that_somebody_listens(address)
    try:
        ray.init(address=address)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise FeatherweightError(f"no Ray cluster at {address!r}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _load() -> Any:
    # Our lines say which trial runs where: Ray would fold those that look alike.
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise FeatherweightError(
            "a Ray fleet needs Ray: pip install 'featherweight[ray]'"
        ) from error


def _check_that_somebody_listens(address: str) -> None:
    """Fail fast if nothing listens at the address: Ray itself would try for minutes."""
    if address in ("auto", "local"):
        return
    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        host, port = place.hostname, place.port
        if host is None or port is None:
            raise ValueError("expected HOST:PORT, ray://HOST:PORT, auto or local")
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise FeatherweightError(f"no Ray cluster at {address!r}: {error}") from error


def _stop_on_signals() -> StopFlag:
    stop = StopFlag()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set("the fleet is stopping")

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
