"""Migrated PostgreSQL databases that tests borrow: to make one costs more than most tests do.

One that comes back in the shape in which it was made is emptied and lent again; any other one, and
one that has been lent often, is dropped.
"""

from __future__ import annotations

import uuid
from typing import LiteralString

import psycopg
from psycopg import sql
from sqlalchemy import make_url

_MOST_LOANS = 25
"""What is deleted takes space until a vacuum, which no test waits for."""
_OTHERS = "nspname !~ '^pg_' AND nspname <> 'information_schema'"
_SHAPE = f"""
WITH own AS (SELECT oid, nspname FROM pg_namespace WHERE {_OTHERS}),
tables AS (SELECT c.* FROM pg_class c JOIN own ON own.oid = c.relnamespace)
SELECT array_agg(line ORDER BY line) FROM (
  SELECT nspname::text AS line FROM own
  UNION ALL SELECT concat_ws(' ', relname, relkind, reloptions::text) FROM tables
  UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, atttypid, atttypmod, attnotnull)
    FROM pg_attribute WHERE attrelid IN (SELECT oid FROM tables) AND NOT attisdropped
  UNION ALL SELECT concat_ws(' ', adrelid::regclass, adnum, pg_get_expr(adbin, adrelid))
    FROM pg_attrdef WHERE adrelid IN (SELECT oid FROM tables)
  UNION ALL SELECT pg_get_indexdef(indexrelid)
    FROM pg_index WHERE indrelid IN (SELECT oid FROM tables)
  UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace IN (SELECT oid FROM own)
  UNION ALL SELECT pg_get_triggerdef(oid)
    FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM tables)
  UNION ALL SELECT proname FROM pg_proc WHERE pronamespace IN (SELECT oid FROM own)
  UNION ALL SELECT concat_ws(' ', 'statistics', starelid::regclass, staattnum)
    FROM pg_statistic WHERE starelid IN (SELECT oid FROM tables)
  UNION ALL SELECT setconfig::text FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS lines
"""
_END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
_MOVED = "SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL"


class Databases:
    """Copies of one migrated database on a server."""

    def __init__(self, server: str, template: str) -> None:
        self._server, self._template = server, template
        self._free: list[str] = []
        self._loans: dict[str, int] = {}
        with self._connected(template) as connection:
            self._shape = connection.execute(_SHAPE).fetchone()
            self._tables = [name for (name,) in connection.execute(_TABLES)]
            self._rows = {name: _copied(connection, name) for name in self._filled(connection)}

    def lend(self) -> str:
        """Return the name of a database as the template is."""
        name = self._free.pop() if self._free else self._made()
        self._loans[name] = self._loans.get(name, 0) + 1
        return name

    def take_back(self, name: str) -> None:
        """Empty the database for the next one, or drop it."""
        if self._loans[name] < _MOST_LOANS and self._is_emptied(name):
            self._free.append(name)
            return
        del self._loans[name]
        self._run("DROP DATABASE {} WITH (FORCE)", name)

    def close(self) -> None:
        """Drop those that nobody has borrowed."""
        for name in self._free:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _made(self) -> str:
        name = f"fw_{uuid.uuid4().hex}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, self._template)
        return name

    def _run(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _connected(self, name: str) -> psycopg.Connection:
        url = make_url(self._server).set(database=name)
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)

    def _is_emptied(self, name: str) -> bool:
        """Whether the database is as the template again."""
        with self._connected(name) as connection:
            connection.execute(_END_ALL)
            if connection.execute(_SHAPE).fetchone() != self._shape:
                return False
            # Without checks of foreign keys the order makes no difference.
            connection.execute("SET session_replication_role = replica")
            for table in self._filled(connection):
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            for table, rows in self._rows.items():
                copy = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
                with connection.cursor().copy(copy) as into:
                    into.write(rows)
            for (sequence,) in connection.execute(_MOVED).fetchall():
                again = sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(sequence))
                connection.execute(again)
        return True

    def _filled(self, connection: psycopg.Connection) -> list[str]:
        """The tables that hold a row."""
        looks = [
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(
                sql.Literal(table), sql.Identifier(table)
            )
            for table in self._tables
        ]
        return [name for (name,) in connection.execute(sql.SQL(" UNION ALL ").join(looks))]


def _copied(connection: psycopg.Connection, table: str) -> bytes:
    copy = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
    with connection.cursor().copy(copy) as rows:
        return b"".join(bytes(part) for part in rows)
