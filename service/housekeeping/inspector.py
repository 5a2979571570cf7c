"""Look into uploaded ONNX files, each in a child process of bounded memory and time.

Every service does it for all: a file whose inspection was begun by a process that died is looked
into again once its lease is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from pydantic import ValidationError

from compress.network.preprocessing import Normalisation
from compress.network.sources.onnx_info import (
    InspectedNetwork,
    InspectionVerdict,
    OnnxInfo,
    RefusedNetwork,
)
from compress.network.sources.source import OnnxSource
from featherweight.system import bounded
from featherweight.system.bounded import EndedProcess, GivenUp, ProcessBounds
from service.settings import ServiceSettings
from store.database.outages import OUTAGES
from store.errors import ArtifactNotFound
from store.files import inspections
from store.files.file_store import FileStore
from store.files.inspections import Inspection
from store.session import Database

MODULE = "compress.network.sources.onnx_inspection"
_LOOK_SECONDS = 5.0
"""How often a service looks for files that others have left; its own uploads wake it at once."""
_RENEW_SECONDS = inspections.LEASE_SECONDS / 4
_ANSWER_BYTES = 64 * 2**20
_MOST_WORDS = 2000
_log = logging.getLogger(__name__)


class Inspector:
    """The inspections of one service; at most ``settings.inspections`` at once."""

    def __init__(self, database: Database, files: FileStore, settings: ServiceSettings) -> None:
        """Begin with nothing to look into."""
        self._database = database
        self._files = files
        self._settings = settings
        self._soon = asyncio.Event()
        self._threads = CapacityLimiter(settings.inspections)
        self._places = asyncio.Semaphore(settings.inspections)
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = threading.Event()

    def soon(self) -> None:
        """Look for a new file at once; only from the event loop's thread."""
        self._soon.set()

    async def run(self) -> None:
        """Inspect until cancelled; running inspections are given back then."""
        try:
            while True:
                self._soon.clear()
                with contextlib.suppress(*OUTAGES):
                    await self._begin_all()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._soon.wait()
        finally:
            self._stopping.set()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _begin_all(self) -> None:
        """Begin inspections as long as there are files and places."""
        while True:
            await self._places.acquire()
            try:
                found = await to_thread.run_sync(self._begin)
            except BaseException:
                self._places.release()
                raise
            if found is None:
                self._places.release()
                return
            task = asyncio.create_task(self._look(found))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._places.release()

    def _begin(self) -> Inspection | None:
        with self._database.look() as connection:
            if not inspections.is_waited_for(connection):
                return None
        with self._database.write() as session:
            return inspections.begin(session)

    async def _look(self, inspection: Inspection) -> None:
        look = _Look(self._database, self._files, self._settings, self._stopping)
        try:
            await to_thread.run_sync(partial(look.run, inspection), limiter=self._threads)
        except OUTAGES as error:
            _log.warning("the inspection of model %s is not recorded: %s", inspection.model, error)
        except Exception:  # noqa: BLE001 - the outermost frame of the task: others go on
            _log.exception("the inspection of model %s failed", inspection.model)


@dataclass(frozen=True)
class _Look:
    """One inspection, on a thread."""

    database: Database
    files: FileStore
    settings: ServiceSettings
    stopping: threading.Event

    def run(self, inspection: Inspection) -> None:
        """Inspect the file and record the verdict, or give the inspection back when stopping."""
        bounds = ProcessBounds(
            memory_bytes=self.settings.inspection_memory_bytes,
            seconds=self.settings.inspection_seconds,
            answer_bytes=_ANSWER_BYTES,
        )
        wanted = _Lease(self.database, inspection, self.stopping)
        try:
            path = self.files.path(inspection.source.sha256)
            ended = bounded.run(_command(inspection.source), path, bounds, is_wanted=wanted)
        except GivenUp:
            self._give_back(inspection)
        except (ArtifactNotFound, FileNotFoundError):
            self._record(inspection, _refused("the stored file is gone: upload it again"))
        except OSError:
            self._give_back(inspection)  # No fault of the file: this machine cannot start a child.
            raise
        else:
            self._record(inspection, verdict(ended, bounds))

    def _give_back(self, inspection: Inspection) -> None:
        with self.database.write() as session:
            inspections.release(session, inspection)

    def _record(self, inspection: Inspection, found: InspectedNetwork | RefusedNetwork) -> None:
        with self.database.write() as session:
            if isinstance(found, RefusedNetwork):
                inspections.refuse(session, inspection, found.reasons)
                return
            asked = inspection.normalisation
            if asked and not Normalisation.model_validate(asked).fits(found.info.input_shape):
                inspections.refuse(session, inspection, [_channels(asked, found.info)])
                return
            inspections.finish(
                session,
                inspection,
                info=found.info.model_dump(mode="json"),
                outline=found.outline.model_dump(mode="json"),
                normalisation=asked or found.info.identity.model_dump(mode="json"),
            )


def _command(source: OnnxSource) -> list[str]:
    shape = source.input_shape
    return [MODULE] if shape is None else [MODULE, "x".join(map(str, shape))]


class _Lease:
    """Whether the answer is still wanted; renews the lease from time to time."""

    def __init__(
        self, database: Database, inspection: Inspection, stopping: threading.Event
    ) -> None:
        self._database = database
        self._inspection = inspection
        self._stopping = stopping
        self._renew_at = time.monotonic() + _RENEW_SECONDS

    def __call__(self) -> bool:
        if self._stopping.is_set():
            return False
        if time.monotonic() < self._renew_at:
            return True
        self._renew_at = time.monotonic() + _RENEW_SECONDS
        try:
            with self._database.write() as session:
                return inspections.renew(session, self._inspection)
        except OUTAGES:
            return True  # Whether it still counts is seen when it is recorded.


def verdict(ended: EndedProcess, bounds: ProcessBounds) -> InspectedNetwork | RefusedNetwork:
    """Return what the process has found. One that crashed, or took too much, refuses its file."""
    if words := ended.words:
        _log.warning("an inspection ended badly: %s\n%s", words, ended.error)
        return _refused(
            f"the file could not be inspected within {bounds.seconds:g} s and "
            f"{bounds.memory_bytes / 2**30:.3g} GiB of memory: {words}. Export a smaller network, "
            "or let who runs the service raise the limits of inspections"
        )
    try:
        return InspectionVerdict.model_validate_json(ended.answer).found
    except ValidationError as error:
        _log.warning("an inspection answered what cannot be read: %s", error)
        return _refused("the inspection of the file ended without an answer: upload it again")


def _channels(normalisation: dict[str, Any], info: OnnxInfo) -> str:
    return (
        f"normalisation: has {len(normalisation['mean'])} channels, the network takes "
        f"{info.input_shape[0]}: delete the model and send it with another one"
    )


def _refused(reason: str) -> RefusedNetwork:
    return RefusedNetwork(reasons=(reason[:_MOST_WORDS],))
