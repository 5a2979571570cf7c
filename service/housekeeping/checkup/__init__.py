"""Looking a house over: what its tables, its files and its processes say of each other.

Nothing is written, nothing is held, and little is remembered: it may run beside a busy house, and
on one that is down. What the studies say is looked at by ``search.study.checkup``.
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
"""Each looks at one thing; the last argument says that every stored file is read."""
