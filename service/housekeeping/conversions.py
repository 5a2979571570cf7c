"""Files in the forms of other targets, each made in a child process of bounded memory and time.

What was made is kept in a folder of this process and goes with it: whoever asks again, or for a
part, gets the same bytes. Nothing is recorded: a file and a target say all there is to say.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from anyio import CapacityLimiter, to_thread

from compress.targets.target import Target
from featherweight.system import bounded
from featherweight.system.bounded import EndedProcess, GivenUp, ProcessBounds
from service.errors import ConversionRefused, NotReady, TooManyConversions
from service.settings import ServiceSettings
from store.errors import ArtifactNotFound
from store.files.file_store import FileStore, StoredFile

MODULE = "compress.conversion.convert"
_REFUSED = 3
"""The status with which the module ends if it has said why there is no such form."""
_MOST_BYTES = 2**30
"""Of one file, and of all that are kept; those that were asked for last stay."""
_MOST_WORDS = 10_000
_PIECE = 2**20
_Key = tuple[str, str]
_log = logging.getLogger(__name__)


@asynccontextmanager
async def opened(stored: FileStore, settings: ServiceSettings) -> AsyncIterator[Conversions]:
    """Yield conversions of the files of ``stored``; what they made is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="featherweight-", ignore_cleanup_errors=True) as folder:
        conversions = Conversions(stored, settings, Path(folder))
        try:
            yield conversions
        finally:
            await conversions.stop()


class Conversions:
    """The conversions of one service, and their results. Used on the event loop's thread only."""

    def __init__(self, stored: FileStore, settings: ServiceSettings, folder: Path) -> None:
        """Read files of ``stored``, and keep others in ``folder``, which is this object's alone."""
        self.files = FileStore(folder)
        self._stored = stored
        self._settings = settings
        self._threads = CapacityLimiter(settings.conversions)
        self._most = settings.conversions + settings.waiting_conversions
        self._kept: OrderedDict[_Key, StoredFile] = OrderedDict()
        self._running: dict[_Key, asyncio.Future[StoredFile]] = {}
        self._stopping = threading.Event()

    async def get(self, sha256: str, target: Target) -> StoredFile:
        """Return the stored file in the form of the target; it lies in ``files``.

        Raises ConversionRefused with the reason, TooManyConversions, ArtifactNotFound and
        FileCorrupt.
        """
        key = (sha256, target.name)
        if self._is_kept(key):
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._running:
            self._begin(key)
        # The others still wait for it if this one has hung up.
        return await asyncio.shield(self._running[key])

    async def stop(self) -> None:
        """End all conversions that are running, and wait for that."""
        self._stopping.set()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _is_kept(self, key: _Key) -> bool:
        """Whether the result is there; folders of temporary files are tidied by others, too."""
        if key not in self._kept:
            return False
        try:
            self.files.path(self._kept[key].sha256)
        except ArtifactNotFound:
            del self._kept[key]
            return False
        return True

    def _begin(self, key: _Key) -> None:
        if len(self._running) >= self._most:
            raise TooManyConversions(
                f"{len(self._running)} files are converted or wait for it, and no more than "
                f"{self._most} may: try again in a moment"
            )
        work = to_thread.run_sync(partial(self._convert, key), limiter=self._threads)
        self._running[key] = asyncio.ensure_future(work)
        self._running[key].add_done_callback(partial(self._done, key))

    def _done(self, key: _Key, made: asyncio.Future[StoredFile]) -> None:
        del self._running[key]
        if made.cancelled() or made.exception() is not None:
            return
        self._kept[key] = made.result()
        while sum(each.size_bytes for each in self._kept.values()) > _MOST_BYTES:
            _, oldest = self._kept.popitem(last=False)
            if all(each.sha256 != oldest.sha256 for each in self._kept.values()):
                self.files.delete(oldest.sha256)

    def _convert(self, key: _Key) -> StoredFile:
        """Convert a file; on a thread."""
        sha256, name = key
        self._stored.verify(sha256)
        bounds = ProcessBounds(
            memory_bytes=self._settings.conversion_memory_bytes,
            seconds=self._settings.conversion_seconds,
            answer_bytes=_MOST_WORDS,
            output_bytes=_MOST_BYTES,
        )
        with tempfile.TemporaryFile() as made:
            try:
                ended = bounded.run(
                    [MODULE, name],
                    self._stored.path(sha256),
                    bounds,
                    is_wanted=lambda: not self._stopping.is_set(),
                    outputs=[made],
                )
            except GivenUp as error:
                raise NotReady("the service is being stopped") from error
            _check(ended, bounds, name)
            made.seek(0)
            return self.files.put(iter(partial(made.read, _PIECE), b""), limit=_MOST_BYTES)


def _check(ended: EndedProcess, bounds: ProcessBounds, target: str) -> None:
    """Raise ConversionRefused unless the process has ended as it should."""
    if not ended.words:
        return
    if ended.status == _REFUSED:
        raise ConversionRefused(f"the file has no form for the target {target}: {ended.words}")
    _log.warning("a conversion ended badly: %s\n%s", ended.words, ended.error)
    raise ConversionRefused(
        f"the file could not be converted for the target {target} within {bounds.seconds:g} s and "
        f"{bounds.memory_bytes / 2**30:.3g} GiB of memory: {ended.words}. Let who runs the service "
        "raise the limits of conversions"
    )
