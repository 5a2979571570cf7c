"""Check free disk space, who may read the files, and unsafe settings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from featherweight.specs.checkup import Finding
from featherweight.system import private
from service.settings import ServiceSettings
from store.access import tokens
from store.files import disk
from store.files.file_store import FileStore
from store.session import Database

_OF_DATABASE = ("", "-wal", "-shm", "-journal", ".migrate.lock")
_OF_UP = ("up.lock", "up.json", "log", "worker")
"""What `featherweight up` keeps next to its database; its lock shows that it does."""
_SECRETS = ("FEATHERWEIGHT_ADMIN_TOKEN", "FEATHERWEIGHT_WORKER_TOKEN", "FEATHERWEIGHT_TOKEN")
_LEAST_LEASE_SECONDS = 5.0


def look(database: Database, store: FileStore, settings: ServiceSettings) -> Iterator[Finding]:
    """Yield findings about little disk space, files that others may read, and unsafe settings."""
    yield from _room(database, store, settings)
    yield from _modes(store, settings)
    yield from _settings(database, settings)


def close(store: FileStore, settings: ServiceSettings) -> int:
    """Take the rights of others away from our files. Returns how many files and folders changed."""
    found = 0
    for root in _roots(store, settings):
        for path in private.loose(root):
            found += private.close(path)
    return found


def _room(database: Database, store: FileStore, settings: ServiceSettings) -> Iterator[Finding]:
    folders = {store.folder, disk.database_folder(database.url) or store.folder}
    for folder in sorted(folders):
        free = shutil.disk_usage(_existing(folder)).free
        if free < settings.min_free_bytes:
            yield Finding(
                check="disk",
                what=f"{free:,} bytes are free, fewer than min_free_bytes, "
                f"{settings.min_free_bytes:,}: the service is not ready",
                thing=str(folder),
                mend="make room: delete jobs with `featherweight delete`, or keep files of stopped "
                "trials for a shorter time (FEATHERWEIGHT_KEEP_STOPPED_FILES_DAYS)",
            )


def _modes(store: FileStore, settings: ServiceSettings) -> Iterator[Finding]:
    for root in _roots(store, settings):
        first, count = None, 0
        for path in private.loose(root):
            first, count = first or path, count + 1
        if first is not None:
            yield Finding(
                check="modes",
                what=f"others may read {count} of the files and folders at {root}",
                thing=str(first),
                mend="`featherweight doctor --repair` lets nobody in but their owner; where they "
                "are another user's, run it as that user",
                repairable=True,
            )


def _roots(store: FileStore, settings: ServiceSettings) -> Iterator[Path]:
    """Yield what this project has created: folders with all their content, and single files."""
    yield store.folder
    for url in (settings.database_url, settings.study_storage_url):
        yield from _database_files(url)
    folder = disk.database_folder(settings.database_url)
    if folder is not None and (folder / "up.lock").exists():
        yield from (folder / name for name in _OF_UP)


def _database_files(url: str) -> Iterator[Path]:
    path = disk.database_path(url)
    if path is not None:
        yield from (path.with_name(path.name + suffix) for suffix in _OF_DATABASE)


def _settings(database: Database, settings: ServiceSettings) -> Iterator[Finding]:
    with database.read() as session:
        has_tokens = tokens.any_exist(session)
    if not settings.is_loopback and not has_tokens:
        yield _unsafe(
            "other machines could reach the service, and no token says who may do what",
            "FEATHERWEIGHT_HOST",
            "make a token with `featherweight token create`, or listen on 127.0.0.1",
        )
    if settings.min_free_bytes == 0:
        yield _unsafe(
            "the service takes work until its disk is full to the last byte",
            "FEATHERWEIGHT_MIN_FREE_BYTES",
            "leave it out: 64 MiB are kept free then",
        )
    if settings.lease_seconds < _LEAST_LEASE_SECONDS:
        yield _unsafe(
            f"a lease of {settings.lease_seconds:g} s ends when a machine is busy for a moment",
            "FEATHERWEIGHT_LEASE_SECONDS",
            "leave it out: 15 s suit most networks",
        )
    for name in _SECRETS:
        if 0 < len(os.environ.get(name, "")) < tokens.SHORTEST_SECRET:
            yield _unsafe(
                f"the token is shorter than {tokens.SHORTEST_SECRET} characters: it can be guessed",
                name,
                "make another: `python3 -c 'import secrets; print(secrets.token_hex(24))'`",
            )
    above = _existing(settings.files.absolute().parent)
    if _is_everybodys(above):
        yield _unsafe(
            "everybody may rename and replace the folder of files",
            str(above),
            "choose another folder (FEATHERWEIGHT_FILES), or take the right to write from others",
        )


def _unsafe(what: str, thing: str, mend: str) -> Finding:
    return Finding(check="settings", what=what, thing=thing, mend=mend)


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _is_everybodys(folder: Path) -> bool:
    mode = folder.stat().st_mode
    return bool(mode & 0o002) and not mode & 0o1000
