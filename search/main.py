"""The searcher's process: advance every job whenever there is news, until told to stop."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from types import FrameType

from featherweight.system.pulse import Pulse
from search import samplers
from search.loop.reaping import ReaperThread
from search.loop.searcher import Searcher
from search.settings import SearcherSettings
from search.study.storage import OUTAGES
from store.cluster.watch import Watcher
from store.session import open_database

_log = logging.getLogger(__name__)
_SHORTEST_PAUSE, _LONGEST_PAUSE, _GOOD_WHILE = 0.5, 10.0, 30.0


def run(
    settings: SearcherSettings | None = None, *, stopping: threading.Event | None = None
) -> None:
    """Search until SIGTERM, SIGINT or ``stopping``; wait while the database is out.

    Raises:
        SchemaOutdated, StudySchemaOutdated: run `featherweight migrate` first.
    """
    settings = settings or SearcherSettings()
    stopping = stopping or threading.Event()
    pause, pulse = 0.0, Pulse.named()
    with _signals(stopping), closing(ReaperThread(settings.database_url)) as reaper:
        while not stopping.wait(pause):
            began = time.monotonic()
            pulse.beat()
            try:
                with _opened(settings) as (searcher, watcher):
                    _serve(searcher, watcher, reaper, pulse, settings=settings, stopping=stopping)
            except OUTAGES as error:
                pause = _next_pause(pause, lasted=time.monotonic() - began)
                _log.warning("no database; trying again in %.1f s: %s", pause, error)


def _serve(
    searcher: Searcher,
    watcher: Watcher,
    reaper: ReaperThread,
    pulse: Pulse,
    *,
    settings: SearcherSettings,
    stopping: threading.Event,
) -> None:
    samplers.load()
    # What is there now stays: a full collection over it would hold up a proposal for 90 ms.
    gc.collect()
    gc.freeze()
    _log.info("the searcher is ready")
    reaper.start()
    while not stopping.is_set():
        pulse.beat()
        reaper.check()
        while searcher.step() and not stopping.is_set():
            pulse.beat()
        watcher.wait(settings.searcher_poll_seconds)


def _next_pause(pause: float, *, lasted: float) -> float:
    """Seconds to wait after an outage: few after a good while, then more and more."""
    if pause == 0 or lasted > _GOOD_WHILE:
        return _SHORTEST_PAUSE
    return min(2 * pause, _LONGEST_PAUSE)


@contextmanager
def _opened(settings: SearcherSettings) -> Iterator[tuple[Searcher, Watcher]]:
    with ExitStack() as stack:
        database = open_database(settings.database_url)
        stack.callback(database.dispose)
        searcher = Searcher(database, settings.study_storage_url, settings)
        stack.callback(searcher.close)
        watcher = Watcher(database)
        stack.callback(watcher.close)
        yield searcher, watcher


@contextmanager
def _signals(stopping: threading.Event) -> Iterator[None]:
    """Set the event on SIGTERM and SIGINT if this is the thread that receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
