"""Check the installation: whether tables, files and processes agree.

Nothing is written, nothing is locked and little is kept in memory: it may run next to a busy
system, or on one that is down. ``search.study.checkup`` checks the studies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from featherweight.specs.checkup import Finding
from service.housekeeping.checkup import files, jobs, places, processes
from service.settings import ServiceSettings
from store.files.file_store import FileStore
from store.session import Database

Part = Callable[[Database, FileStore, ServiceSettings, bool], Iterator[Finding]]
PARTS: tuple[Part, ...] = (
    lambda database, store, settings, deep: processes.look(database, settings),
    lambda database, store, settings, deep: places.look(database, store, settings),
    lambda database, store, settings, deep: jobs.look(database),
    lambda database, store, settings, deep: files.look(database, store, settings, deep=deep),
)
"""Each checks one thing; the last argument asks to read every stored file."""
