"""Alembic's entry: runs on the connection that ``store.database.migrate`` opened and locked."""

from alembic import context

from store.database import migrate

migrate.run(context.config.attributes["connection"])
