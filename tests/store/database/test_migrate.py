"""Migrations: equal to the tables, repeatable, safe when several processes run them at once."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, inspect, make_url, text
from sqlalchemy.exc import IntegrityError

from store.database import migrate
from store.database.engines import open_engine
from store.errors import BrokenReferences, SchemaOutdated
from store.session import open_database
from store.tables.records import Base

ROOT = Path(__file__).parents[3]
ADDED = ("teacher_id", "supernet_model_id", "supernet_sha256", "elastic")
"""Columns of a job that later versions have added."""
UPGRADE = "import sys; from store.database import migrate; migrate.upgrade(sys.argv[1])"


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


def test_an_upgrade_keeps_the_rows_and_what_they_refer_to(empty_database_url):
    url = empty_database_url
    engine = open_engine(url)
    with engine.begin() as connection:
        settings = migrate.config()
        settings.attributes["connection"] = connection
        alembic.command.upgrade(settings, "0002")
        fill(connection)
    migrate.upgrade(url)
    with engine.connect() as connection:
        jobs = connection.execute(text(f"SELECT id, name, {', '.join(ADDED)} FROM fw_jobs")).all()
        events = connection.execute(text("SELECT job_id FROM fw_events")).all()
    assert (jobs, events) == ([("j", "old", None, None, None, None)], [("j",)])
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text("DELETE FROM fw_jobs"))
    engine.dispose()
    assert differences(url) == []


def test_an_upgrade_that_finds_broken_references_changes_nothing(tmp_path):
    url = f"sqlite:///{tmp_path}/broken.db"
    engine = open_engine(url)
    with engine.begin() as connection:
        settings = migrate.config()
        settings.attributes["connection"] = connection
        alembic.command.upgrade(settings, "0002")
    with sqlite3.connect(tmp_path / "broken.db") as connection:  # checks no references
        connection.execute(
            "INSERT INTO fw_events VALUES ('nothing', 1, 'test', '{}', '2026-01-01')"
        )
    with pytest.raises(BrokenReferences, match=r"1 rows of \['fw_events'\]"):
        migrate.upgrade(url)
    engine.dispose()
    assert migrate.current(url) == "0002"


def fill(connection):
    """A job of an early version, its dataset, and an event that refers to it."""
    now, sha = datetime.now(UTC), "0" * 64
    tables = MetaData()
    tables.reflect(connection)
    rows = {
        "fw_files": {"sha256": sha, "size_bytes": 1, "created_at": now},
        "fw_datasets": {
            "id": "d", "name": "digits", "sha256": sha, "size_bytes": 1, "task": "t", "info": {},
            "created_at": now,
        },
        "fw_jobs": {
            "id": "j", "name": "old", "state": "queued", "phase": "baseline", "stop_detail": "",
            "spec": {}, "dataset_id": "d", "budget_trials": 2, "parallel_trials": 1, "counts": {},
            "last_event": 1, "body_sha256": sha, "created_at": now, "paused_seconds": 0.0,
        },
        "fw_events": {"job_id": "j", "seq": 1, "type": "job.queued", "data": {}, "at": now},
    }  # fmt: skip
    for name, row in rows.items():
        connection.execute(tables.tables[name].insert(), row)


@pytest.mark.proof
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
