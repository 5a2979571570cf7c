"""A database that is lent again is as a new one; one of another shape is not lent again."""

import psycopg
import pytest

from store.session import open_database
from tests import factories
from tests.conftest import address
from tests.lending import Databases


@pytest.fixture
def databases(postgresql_server, postgresql_template):
    found = Databases(postgresql_server, postgresql_template)
    yield found
    found.close()


def fill(url):
    database = open_database(url)
    with database.write() as session:
        factories.dataset(session, "digits")
    database.dispose()


def run(url, statement):
    """The rows that a statement answers, if any."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_what_a_test_has_written_is_gone_and_the_version_stays(databases, postgresql_server):
    name = databases.lend()
    url = address(postgresql_server, name)
    version = run(url, "SELECT * FROM fw_alembic_version")
    fill(url)
    assert run(url, "SELECT count(*) FROM fw_datasets") == [(1,)]
    databases.take_back(name)
    assert databases.lend() == name
    assert run(url, "SELECT count(*) FROM fw_datasets") == [(0,)]
    assert run(url, "SELECT * FROM fw_alembic_version") == version
    databases.take_back(name)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE INDEX changed ON fw_datasets (name)",
        "ALTER TABLE fw_datasets ADD COLUMN changed int",
        "ALTER TABLE fw_datasets ALTER COLUMN name DROP NOT NULL",
        "CREATE TABLE changed (id int)",
        "CREATE SCHEMA changed",
        "ANALYZE fw_alembic_version",
    ],
)
def test_a_database_of_another_shape_is_not_lent_again(databases, postgresql_server, change):
    name = databases.lend()
    run(address(postgresql_server, name), change)
    databases.take_back(name)
    other = databases.lend()
    assert other != name
    databases.take_back(other)
