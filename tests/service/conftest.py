"""A running service for tests: in process, on a fresh database and folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.running import Service, serve


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Address of a fresh migrated SQLite database."""
    shutil.copy(sqlite_template, tmp_path / "featherweight.db")
    return f"sqlite:///{tmp_path}/featherweight.db"


@pytest.fixture
def service(sqlite_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service on SQLite, open to loopback: no token exists."""
    with serve(sqlite_url, tmp_path) as running:
        yield running


@pytest.fixture
def either_service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service on SQLite and on PostgreSQL, open to loopback."""
    with serve(database_url, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests of a module, which leave nothing behind that another would see."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(sqlite_template, folder / "featherweight.db")
    # Every address is asked for many wrong things within a minute, the login among them.
    most = {"logins_per_minute": 10_000}
    with serve(f"sqlite:///{folder}/featherweight.db", folder, **most) as running:
        yield running
