"""Separate lanes for large work, each with its own places and threads, so none blocks another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from service.errors import TooManyInspections
from service.settings import ServiceSettings
from service.shared.pace import Patience
from service.shared.places import Places

Answer = TypeVar("Answer")
_WRITERS = 4
"""Threads of a lane: each is held for one short write at a time, never for a sender."""
_WORKER_FILES = 256
_LARGE_DOCUMENTS = 64
_WORKER_CALLS = 12
"""Claims and reports may wait some seconds for rows that other workers have locked."""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Bodies of one kind: how many may be received at once, and the threads that write them."""

    places: Places
    threads: CapacityLimiter

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Return what ``work`` answers, on a thread of this lane."""
        return await to_thread.run_sync(work, limiter=self.threads)


class Inspections:
    """A few threads that inspect uploaded files, and a bounded queue for them."""

    def __init__(self, *, at_once: int, waiting: int) -> None:
        """Run ``at_once`` inspections and let ``waiting`` more wait."""
        self._threads = CapacityLimiter(at_once)
        self._most = at_once + waiting
        self._inside = 0

    def check(self) -> None:
        """Raise TooManyInspections if the queue is full."""
        if self._inside >= self._most:
            raise TooManyInspections(
                f"{self._inside} uploaded files are looked into or wait for it, and no more than "
                f"{self._most} may: try again in a moment"
            )

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Return what ``work`` answers, when it is its turn. Raises TooManyInspections."""
        self.check()
        self._inside += 1
        try:
            return await to_thread.run_sync(work, limiter=self._threads)
        finally:
            self._inside -= 1


@dataclass(frozen=True, kw_only=True)
class Lanes:
    """All lanes of a service."""

    patience: Patience
    uploads: Lane
    worker_files: Lane
    documents: Places
    inspections: Inspections
    worker_calls: CapacityLimiter

    async def for_worker(self, work: Callable[[], Answer]) -> Answer:
        """Return what ``work`` answers, on a thread for workers; users' threads stay free."""
        return await to_thread.run_sync(work, limiter=self.worker_calls)


def of_settings(settings: ServiceSettings) -> Lanes:
    """Return the lanes that the settings ask for; call it in the event loop."""
    return Lanes(
        patience=Patience(
            seconds=settings.body_seconds, bytes_per_second=settings.body_bytes_per_second
        ),
        uploads=_lane(total=settings.max_uploads, each=settings.max_uploads_per_client),
        worker_files=_lane(total=_WORKER_FILES, each=_WORKER_FILES),
        documents=Places(total=_LARGE_DOCUMENTS, each=_LARGE_DOCUMENTS),
        inspections=Inspections(at_once=settings.inspections, waiting=settings.waiting_inspections),
        worker_calls=CapacityLimiter(_WORKER_CALLS),
    )


def _lane(*, total: int, each: int) -> Lane:
    return Lane(places=Places(total=total, each=each), threads=CapacityLimiter(_WRITERS))
