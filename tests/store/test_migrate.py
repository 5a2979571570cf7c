"""Migrations: equal to the tables, repeatable, safe when several processes run them at once."""

import subprocess
import sys
from pathlib import Path

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, make_url, text

from store import migrate
from store.engines import open_engine
from store.errors import SchemaOutdated
from store.session import open_database
from store.tables import Base

ROOT = Path(__file__).parents[2]
UPGRADE = "import sys; from store import migrate; migrate.upgrade(sys.argv[1])"


def differences(url):
    engine = open_engine(url)
    options = {
        "version_table": migrate.VERSION_TABLE,
        "include_name": migrate.include_name,
        "compare_type": True,
        "compare_server_default": True,
    }
    with engine.connect() as connection:
        found = compare_metadata(
            MigrationContext.configure(connection, opts=options), Base.metadata
        )
    engine.dispose()
    return found


def names_of_keys(url):
    engine = open_engine(url)
    with engine.connect() as connection:
        looked_at = inspect(connection)
        found = {
            table: {key["name"] for key in looked_at.get_foreign_keys(table)}
            | {looked_at.get_pk_constraint(table)["name"]}
            for table in Base.metadata.tables
        }
    engine.dispose()
    return found


def test_the_migrations_make_exactly_the_tables(database_url):
    assert differences(database_url) == []


def test_the_migrations_name_keys_as_the_tables_do(database_url):
    wanted = {
        name: {str(key.name) for key in table.foreign_key_constraints}
        | {str(table.primary_key.name)}
        for name, table in Base.metadata.tables.items()
    }
    assert names_of_keys(database_url) == wanted


def test_a_difference_would_be_seen(database_url):
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE fw_jobs DROP COLUMN stop_detail"))
    engine.dispose()
    assert differences(database_url) != []


def test_an_upgrade_twice_is_the_same_as_once(empty_database_url):
    assert migrate.current(empty_database_url) is None
    migrate.upgrade(empty_database_url)
    migrate.upgrade(empty_database_url)
    assert migrate.current(empty_database_url) == migrate.head()
    assert differences(empty_database_url) == []


def test_several_processes_can_upgrade_an_empty_database_at_once(empty_database_url):
    command = [sys.executable, "-W", "error", "-c", UPGRADE, empty_database_url]
    running = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0], errors
    assert differences(empty_database_url) == []


def test_tables_of_others_in_the_same_database_are_left_alone(empty_database_url):
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('v3.2.0.a')"))
    migrate.upgrade(empty_database_url)
    with engine.connect() as connection:
        others = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    assert others == "v3.2.0.a"
    assert differences(empty_database_url) == []


def test_a_database_without_our_tables_is_refused_with_the_way_out(empty_database_url):
    with pytest.raises(SchemaOutdated, match="featherweight migrate"):
        open_database(empty_database_url)


def test_a_database_of_another_version_is_refused_with_the_way_out(database_url):
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = 'older'"))
    engine.dispose()
    with pytest.raises(SchemaOutdated, match=r"is older.*featherweight migrate"):
        open_database(database_url)


def test_a_refused_sqlite_file_is_not_created(tmp_path):
    with pytest.raises(SchemaOutdated):
        open_database(f"sqlite:///{tmp_path}/none/featherweight.db")
    assert list(tmp_path.iterdir()) == []


def test_the_password_is_not_in_the_message(postgresql_server):
    url = make_url(postgresql_server).set(password="hunter2")
    with pytest.raises(SchemaOutdated) as refused:
        open_database(url.render_as_string(hide_password=False))
    assert "hunter2" not in str(refused.value)


def test_a_downgrade_takes_everything_away_again(database_url):
    engine = open_engine(database_url)
    config = migrate.config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "base")
    with engine.connect() as connection:
        left = set(inspect(connection).get_table_names())
    engine.dispose()
    assert left == {migrate.VERSION_TABLE}
