"""Alembic's entry: runs on the connection that ``store.migrate`` opened and locked."""

from alembic import context

from store import migrate

migrate.run(context.config.attributes["connection"])
