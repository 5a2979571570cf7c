"""Databases for tests: every test that asks for ``database`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import gc
import os
import shutil
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import LiteralString

import hypothesis
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from featherweight.client.client import Client
from store.database import migrate
from store.session import Database, open_database
from tests import covering, postgres, running
from tests.lending import Databases
from tests.running import Running

DIALECTS = ("sqlite", "postgresql")
TEMPLATE = "featherweight_template"
OWN_SETTINGS = "FEATHERWEIGHT_TEST_"
ABOVE_THE_STORE = ("search", "service")
"""Rooms that call the store, whose own tests run on both databases."""
SHARE_A_HOUSE = ("featherweight", "launch")
"""Rooms whose tests talk to one service that knows nobody."""
# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_configure() -> None:
    """Who has a cluster's address and token in the shell tests without them."""
    for name in list(os.environ):
        if name.startswith("FEATHERWEIGHT_") and not name.startswith(OWN_SETTINGS):
            del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting makes a million objects that stay: to look for garbage takes a sixth of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``make test`` runs a cover of large products, and one database above the store."""
    covering.mark(items)
    for item in items:
        if _room(item) in ABOVE_THE_STORE and "postgresql" in _words(item):
            item.add_marker("proof")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Of processes that test side by side each takes whole files, and one a whole house."""
    return Together(config, log)


class Together(LoadFileScheduling):
    """Tests of a file, and those of rooms that share a house, are run by one process.

    So what they need is set up once. Groups of xdist's own (3.8) are unknown to pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        _, room, *_ = nodeid.split("/")
        return "house" if room in SHARE_A_HOUSE else super()._split_scope(nodeid)


def _room(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


def _words(item: pytest.Item) -> list[str]:
    """The parameters that are words."""
    callspec = getattr(item, "callspec", None)
    values = [] if callspec is None else callspec.params.values()
    return [value for value in values if isinstance(value, str)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the processes of a house wrote belongs to the report of a test that failed in it."""
    report = yield
    if report.failed:
        for house in running.HOUSES:
            report.sections += [(f"log of {name}", lines) for name, lines in house.told()]
    return report


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> Iterator[str]:
    """Name of a migrated database that tests copy."""
    name = f"{TEMPLATE}_{uuid.uuid4().hex}"
    run_on_server(postgresql_server, "CREATE DATABASE {}", name)
    migrate.upgrade(address(postgresql_server, name))
    yield name
    run_on_server(postgresql_server, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture(scope="session")
def postgresql_databases(postgresql_server: str, postgresql_template: str) -> Iterator[Databases]:
    """Copies of the migrated database that tests borrow."""
    databases = Databases(postgresql_server, postgresql_template)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that tests copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A real service in a process of its own, without searcher and workers, for several files.

    Nobody may leave a token in it: that would close it to all who come later.
    """
    with running.running(tmp_path_factory.mktemp("house"), like=sqlite_template) as found:
        found.serve()
        yield found
        with Client(found.url) as client:
            assert list(client.tokens()) == []


@pytest.fixture(params=DIALECTS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database without any table, on both dialects."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"fw_{uuid.uuid4().hex}"
    run_on_server(server, "CREATE DATABASE {}", name)
    yield address(server, name)
    run_on_server(server, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a fresh migrated database, on both dialects."""
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "featherweight.db")
        yield f"sqlite:///{tmp_path}/featherweight.db"
        return
    databases = request.getfixturevalue("postgresql_databases")
    name = databases.lend()
    yield address(request.getfixturevalue("postgresql_server"), name)
    databases.take_back(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh migrated database, on both dialects."""
    opened = open_database(database_url, check_schema=False)
    yield opened
    opened.dispose()


@pytest.fixture
def cut_connections(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Cuts every connection to a database, as a restart of PostgreSQL does; not SQLite's."""

    def cut(url: str) -> None:
        name = make_url(url).database
        if make_url(url).get_backend_name() == "sqlite":
            return
        server = request.getfixturevalue("postgresql_server")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )

    return cut


def run_on_server(server: str, statement: LiteralString, *names: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def address(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
